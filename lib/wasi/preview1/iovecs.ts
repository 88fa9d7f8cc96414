/**
 * Lists of buffers that a guest passes to reads and writes.
 * @module
 */
import { ERRNO, IOVEC_SIZE } from "./abi.ts";
import type { GuestMemory } from "./guest_memory.ts";

/** Most buffers in one call (`IOV_MAX` of Linux). */
export const MAX_IOVECS = 1024;

/** Most bytes in one call (Linux moves no more either, and a result must fit an i32). */
export const MAX_TRANSFER_BYTES = 2 ** 31 - 1;

/** Checks that a list and all its buffers lie in memory; an error number if not. */
export function checkIovecs(memory: GuestMemory, list: number, count: number): number {
  if (count > MAX_IOVECS) return ERRNO.INVAL;
  if (!memory.ok(list, count * IOVEC_SIZE)) return ERRNO.FAULT;
  const { view } = memory;
  const size = memory.bytes.length;
  let total = 0;
  for (let at = list; at < list + count * IOVEC_SIZE; at += IOVEC_SIZE) {
    const length = view.getUint32(at + 4, true);
    if (view.getUint32(at, true) + length > size) return ERRNO.FAULT;
    total += length;
  }
  return total > MAX_TRANSFER_BYTES ? ERRNO.INVAL : 0;
}
