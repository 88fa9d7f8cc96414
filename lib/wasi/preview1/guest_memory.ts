/**
 * Checked access to the guest's linear memory.
 * @module
 */
import { CLOCK_RESOLUTION_NS } from "../clock.ts";
import { ERRNO } from "../errno.ts";
import { MAX_PATH_BYTES } from "../fs/path_lookup.ts";
import { IOVEC_SIZE } from "./abi.ts";

const EMPTY = new Uint8Array(0);

// `ignoreBOM`: a leading U+FEFF is part of a file's name, not a mark to drop.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Views of the guest's memory that follow its growth.
 *
 * Call {@linkcode GuestMemory.ok} for a range before touching it: the guest may have grown its
 * memory since the last call, which detaches the old buffer.
 */
export class GuestMemory {
  /** All of memory, as of the last {@linkcode GuestMemory.ok}. */
  bytes: Uint8Array = EMPTY;
  /** The same bytes. */
  view: DataView = new DataView(EMPTY.buffer);
  #memory: WebAssembly.Memory | undefined;

  /** Sets the memory to work on. Until then every range is outside. */
  attach(memory: WebAssembly.Memory): void {
    this.#memory = memory;
    this.#refresh();
  }

  /**
   * Whether `length` bytes from `pointer` lie in memory. Both must be unsigned (`>>> 0`): then the
   * sum is below 2^33 and cannot wrap.
   */
  ok(pointer: number, length: number): boolean {
    const end = pointer + length;
    // A detached buffer has length 0. A shared one never detaches, but is seen too short.
    if (this.bytes.length === 0 || end > this.bytes.length) this.#refresh();
    return end <= this.bytes.length;
  }

  /** Writes a u64 from a safe integer. The range was found {@linkcode GuestMemory.ok}. */
  setU64(pointer: number, value: number): void {
    this.view.setUint32(pointer, value >>> 0, true);
    this.view.setUint32(pointer + 4, Math.floor(value / 2 ** 32), true);
  }

  /**
   * Writes nanoseconds: a number is of ticks of the coarse clock. The range was found
   * {@linkcode GuestMemory.ok}.
   */
  setTime(pointer: number, time: number | bigint): void {
    if (typeof time === "bigint") {
      this.view.setBigUint64(pointer, time, true);
      return;
    }
    // The product does not fit a double, and a BigInt costs more than the rest of a stat call. So:
    // in two parts of 24 bits below and the rest above, each exact.
    const low = (time % 2 ** 24) * CLOCK_RESOLUTION_NS;
    const high = Math.floor(time / 2 ** 24) * CLOCK_RESOLUTION_NS;
    const rest = (high % 2 ** 8) * 2 ** 24 + low;
    this.view.setUint32(pointer, rest % 2 ** 32, true);
    this.view.setUint32(pointer + 4, Math.floor(high / 2 ** 8) + Math.floor(rest / 2 ** 32), true);
  }

  /** Reads a path; an error number if it is outside, too long, not UTF-8 or has a NUL in it. */
  path(pointer: number, length: number): string | number {
    if (!this.ok(pointer, length)) return ERRNO.FAULT;
    if (length > MAX_PATH_BYTES) return ERRNO.NAMETOOLONG;
    const { bytes } = this;
    for (let at = pointer; at < pointer + length; at++) {
      const byte = bytes[at]!;
      if (byte === 0) return ERRNO.INVAL;
      if (byte > 0x7f) return decodeUtf8(bytes, pointer, length);
    }
    return decodeAscii(bytes, pointer, pointer + length);
  }

  #refresh(): void {
    if (this.#memory === undefined) return;
    this.bytes = new Uint8Array(this.#memory.buffer);
    this.view = new DataView(this.#memory.buffer);
  }
}

/**
 * Two to four times as fast as a TextDecoder for the short ASCII names that paths are: no view is
 * made, and eight characters at a time leave little to join.
 */
function decodeAscii(bytes: Uint8Array, start: number, end: number): string {
  let text = "";
  let at = start;
  for (; at + 8 <= end; at += 8) {
    text += String.fromCharCode(
      bytes[at]!,
      bytes[at + 1]!,
      bytes[at + 2]!,
      bytes[at + 3]!,
      bytes[at + 4]!,
      bytes[at + 5]!,
      bytes[at + 6]!,
      bytes[at + 7]!,
    );
  }
  for (; at < end; at++) text += String.fromCharCode(bytes[at]!);
  return text;
}

function decodeUtf8(bytes: Uint8Array, pointer: number, length: number): string | number {
  try {
    // A copy, as a TextDecoder does not take shared memory.
    const text = decoder.decode(bytes.slice(pointer, pointer + length));
    return text.includes("\0") ? ERRNO.INVAL : text;
  } catch {
    return ERRNO.ILSEQ;
  }
}

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
