/**
 * Frames of a byte stream: one kind byte, a little-endian u32 length and the payload.
 *
 * @module
 */

/** Size of a frame's header, in bytes. */
export const FRAME_HEADER_BYTES = 5;

/** Offset of a read in its buffer: headroom for a frame header, rounded up to a multiple of 8. */
export const READ_AT = 8;

/**
 * Capacity of a Unix socket, in bytes: two kernel buffers, each half of net.core.wmem_default (212,992 since
 * Linux 2.6) less 64. One byte more blocks until the reader has drained the rest, and wakes it a second time.
 */
export const SOCKET_BYTES: number = 2 * (212_992 / 2 - 64);

/** Most payload bytes written together with their header: a multiple of the ring buffers' alignment. */
export const FIRST_BYTES: number = (SOCKET_BYTES - FRAME_HEADER_BYTES) & ~7;

/** Writes a frame's header at the start of a buffer. */
export function putFrameHeader(buffer: Uint8Array, kind: number, length: number): void {
  buffer[0] = kind;
  buffer[1] = length;
  buffer[2] = length >>> 8;
  buffer[3] = length >>> 16;
  buffer[4] = length >>> 24;
}

/** Parses the frame header at the start of a buffer. */
export function parseFrameHeader(buffer: Uint8Array): { kind: number; length: number } {
  const length = buffer[1]! | buffer[2]! << 8 | buffer[3]! << 16 | buffer[4]! << 24;
  return { kind: buffer[0]!, length: length >>> 0 };
}

const NO_RELEASE = (): void => {};

/**
 * Bytes with headroom for a frame header before them in the same memory, so that a received payload is forwarded in
 * another frame without a copy.
 */
export class HeadroomBuffer extends Uint8Array<ArrayBuffer> {
  /** Bytes that the same source returns next, 0 at the end. */
  more = 0;
  /** Releases the memory to its source, which never reuses it otherwise. */
  release: () => void = NO_RELEASE;

  /** Views are plain arrays: the bytes before them may be in use. */
  static get [Symbol.species](): Uint8ArrayConstructor {
    return Uint8Array;
  }
}

/** Options of {@linkcode FrameWriter.cut}. */
export interface FrameWriterOptions {
  kind: number;
  /** Length in the header, where more of the payload follows. @default {that of the payload} */
  length?: number | undefined;
}

/**
 * Joins headers to payloads so that one write sends both. A separate header would wake the reader twice, which costs
 * more than copying the part that the socket accepts at once.
 */
export class FrameWriter {
  #copy = new Uint8Array();

  /** Splits a frame into its first write, header included, and the rest. Both are valid until the next call. */
  cut(
    payload: Uint8Array,
    { kind, length = payload.length }: FrameWriterOptions,
  ): [first: Uint8Array, rest: Uint8Array] {
    if (payload instanceof HeadroomBuffer) {
      const { buffer, byteOffset } = payload;
      const whole = new Uint8Array(
        buffer,
        byteOffset - FRAME_HEADER_BYTES,
        FRAME_HEADER_BYTES + payload.length,
      );
      putFrameHeader(whole, kind, length);
      return [whole, NOTHING];
    }
    const end = FRAME_HEADER_BYTES + Math.min(payload.length, FIRST_BYTES);
    if (this.#copy.length < end) this.#copy = new Uint8Array(end);
    putFrameHeader(this.#copy, kind, length);
    const first = payload.subarray(0, end - FRAME_HEADER_BYTES);
    this.#copy.set(first, FRAME_HEADER_BYTES);
    return [this.#copy.subarray(0, end), payload.subarray(first.length)];
  }
}

const NOTHING = new Uint8Array();
