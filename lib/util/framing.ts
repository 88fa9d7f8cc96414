/**
 * What frames over a byte stream have in common, between a client and its daemon as between that and an
 * executor: one kind byte, a little-endian u32 length and that many bytes.
 * @module
 */

/** Bytes before the payload. */
export const FRAME_HEADER_BYTES = 5;

/** Where a read begins in its buffer: room for a header before what is given away, and a multiple of 8. */
export const READ_AT = 8;

/**
 * What a unix socket takes at once, in bytes: two buffers of the kernel, each of half of
 * net.core.wmem_default (212,992 since Linux 2.6) less 64. One byte more waits until the reader has taken
 * all before it, and wakes that once more.
 */
export const SOCKET_BYTES: number = 2 * (212_992 / 2 - 64);

/** What of a payload goes with its header, in bytes: a multiple of what rings are aligned to. */
export const FIRST_BYTES: number = (SOCKET_BYTES - FRAME_HEADER_BYTES) & ~7;

/** Writes a frame's header at the start of a buffer. */
export function putFrameHeader(buffer: Uint8Array, kind: number, length: number): void {
  buffer[0] = kind;
  buffer[1] = length;
  buffer[2] = length >>> 8;
  buffer[3] = length >>> 16;
  buffer[4] = length >>> 24;
}

/** What the first bytes of a buffer say as a frame's header. */
export function parseFrameHeader(buffer: Uint8Array): { kind: number; length: number } {
  const length = buffer[1]! | buffer[2]! << 8 | buffer[3]! << 16 | buffer[4]! << 24;
  return { kind: buffer[0]!, length: length >>> 0 };
}

const NOBODY = (): void => {};

/**
 * Bytes with room for a header before them in the same memory, which is theirs: so what came in one frame
 * goes on in another without being copied.
 */
export class RoomyBytes extends Uint8Array<ArrayBuffer> {
  /** Bytes that the same source gives next, or none any more. */
  more = 0;
  /** Says that nothing of it is needed any more; without it the source never uses the memory again. */
  release: () => void = NOBODY;

  /** Views of it are ordinary ones: what is before them is not free. */
  static get [Symbol.species](): Uint8ArrayConstructor {
    return Uint8Array;
  }
}

/** Options of {@linkcode FrameStart.cut}. */
export interface FrameStartOptions {
  kind: number;
  /** The frame's length, where more of its payload follows. @default {that of the payload} */
  length?: number | undefined;
}

/**
 * Joins headers to payloads, so that one write sends both: a separate header wakes the reader for nothing,
 * which costs more than to copy what the socket takes with it.
 */
export class FrameStart {
  #copy = new Uint8Array();

  /** What is to be written first, header and payload, and then; it may be used until the next call. */
  cut(
    payload: Uint8Array,
    { kind, length = payload.length }: FrameStartOptions,
  ): [first: Uint8Array, rest: Uint8Array] {
    if (payload instanceof RoomyBytes) {
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
