/**
 * Accesses the guest's linear memory with bounds checks.
 *
 * @module
 */
import { CLOCK_RESOLUTION_NS } from "../clock.ts";
import { ERRNO, IOVEC_SIZE } from "../abi.ts";
import { MAX_PATH_BYTES } from "../fs/path_lookup.ts";

const EMPTY = new Uint8Array(0);

// `ignoreBOM` keeps a leading U+FEFF, which is part of the file's name.
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Views of guest memory that follow its growth.
 *
 * Call {@linkcode GuestMemory.ok} for a range before accessing it: the guest may have grown its memory since the last
 * call, which detaches the old buffer.
 */
export class GuestMemory {
  /** The whole memory, as of the last {@linkcode GuestMemory.ok}. */
  bytes: Uint8Array = EMPTY;
  /** The same bytes as a DataView. */
  view: DataView = new DataView(EMPTY.buffer);
  #memory: WebAssembly.Memory | undefined;

  /** Sets the memory. Until then every range is out of bounds. */
  attach(memory: WebAssembly.Memory): void {
    this.#memory = memory;
    this.#refresh();
  }

  /**
   * Whether `length` bytes from `pointer` are in bounds. Both must be unsigned (`>>> 0`), so that the sum is below
   * 2^33 and cannot overflow.
   */
  ok(pointer: number, length: number): boolean {
    const end = pointer + length;
    // A detached buffer has length 0. A shared buffer never detaches, but its view may be outdated and too short.
    if (this.bytes.length === 0 || end > this.bytes.length) this.#refresh();
    return end <= this.bytes.length;
  }

  /** Writes a safe integer as u64 to a range that was bounds-checked. */
  setU64(pointer: number, value: number): void {
    this.view.setUint32(pointer, value >>> 0, true);
    this.view.setUint32(pointer + 4, Math.floor(value / 2 ** 32), true);
  }

  /**
   * Writes a time in nanoseconds, given as a number of clock ticks or a BigInt of nanoseconds, to a range that was
   * bounds-checked.
   */
  setTime(pointer: number, time: number | bigint): void {
    if (typeof time === "bigint") {
      this.view.setBigUint64(pointer, time, true);
      return;
    }
    // The product exceeds a double's precision, and a BigInt costs more than the rest of a stat call. The lower
    // 24 bits and the rest are multiplied separately, each exactly.
    const low = (time % 2 ** 24) * CLOCK_RESOLUTION_NS;
    const high = Math.floor(time / 2 ** 24) * CLOCK_RESOLUTION_NS;
    const rest = (high % 2 ** 8) * 2 ** 24 + low;
    this.view.setUint32(pointer, rest % 2 ** 32, true);
    this.view.setUint32(pointer + 4, Math.floor(high / 2 ** 8) + Math.floor(rest / 2 ** 32), true);
  }

  /** Reads a path; returns an errno if it is out of bounds, too long, not UTF-8 or contains NUL. */
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
 * Decodes ASCII. For short paths this is two to four times as fast as a TextDecoder: it creates no view, and decoding
 * eight characters at a time leaves few strings to concatenate.
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
    // A copy, because TextDecoder rejects shared memory.
    const text = decoder.decode(bytes.slice(pointer, pointer + length));
    return text.includes("\0") ? ERRNO.INVAL : text;
  } catch {
    return ERRNO.ILSEQ;
  }
}

/** Most buffers per call (`IOV_MAX` of Linux). */
export const MAX_IOVECS = 1024;

/** Most bytes per call, as in Linux; the result must fit an i32. */
export const MAX_TRANSFER_BYTES = 2 ** 31 - 1;

/** Checks that an iovec list and all its buffers are in bounds; returns an errno. */
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
