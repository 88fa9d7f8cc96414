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

/** Encodes the header of a frame whose payload is sent separately. */
export function encodeFrameHeader(kind: number, length: number): Uint8Array<ArrayBuffer> {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  putFrameHeader(header, kind, length);
  return header;
}

/** Copies a small payload into a frame. */
export function buildFrame(kind: number, payload: Uint8Array = NOTHING): Uint8Array<ArrayBuffer> {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  putFrameHeader(frame, kind, payload.length);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** Header of a frame. */
export interface FrameHeader {
  /** Kind of the frame, 0 to 255. */
  kind: number;
  /** Length of the payload, in bytes. */
  length: number;
}

/** Parses the frame header at an offset of a buffer. */
export function parseFrameHeader(buffer: Uint8Array, at = 0): FrameHeader {
  const length = buffer[at + 1]! | buffer[at + 2]! << 8 | buffer[at + 3]! << 16 |
    buffer[at + 4]! << 24;
  return { kind: buffer[at]!, length: length >>> 0 };
}

const NOTHING = new Uint8Array();

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
  /** Kind in the header. */
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

/** Source of a {@linkcode FrameReader}; its chunks may be plain bytes or have headroom. */
export interface FrameSource<Chunk extends Uint8Array = Uint8Array> {
  /**
   * Reads the next chunk, which stays valid until the next call; `undefined` at the end.
   *
   * @param needed Number of bytes that the reader waits for; a chunk may be shorter or longer.
   */
  read(needed: number): Promise<Chunk | undefined>;
  /**
   * Reads a part of a payload into its destination and resolves to the number of bytes, or to null at the end.
   * Returns `undefined` where a chunk should be read instead.
   * @default {chunks only}
   */
  readInto?: (into: Uint8Array) => Promise<number | null> | undefined;
}

/**
 * Reads the frames of a byte stream, whose chunks may end anywhere: a header, then its payload in parts or as a whole.
 *
 * A payload must be consumed before the next header is read. The caller checks each header against its limits. A
 * stream that ends within a frame ends like one that ends after it.
 */
export class FrameReader<Chunk extends Uint8Array = Uint8Array> {
  readonly #source: FrameSource<Chunk>;
  /** Collects a header that spans chunks. */
  readonly #header = new Uint8Array(FRAME_HEADER_BYTES);
  #chunk: Uint8Array = NOTHING;
  /** Offset of the first unread byte of the chunk. */
  #at = 0;
  #left = 0;

  /** Creates a reader, which does not read before a method is called. */
  constructor(source: FrameSource<Chunk>) {
    this.#source = source;
  }

  /** Unread bytes of the current payload. */
  get left(): number {
    return this.#left;
  }

  /** Bytes that can be read without waiting. */
  get buffered(): number {
    return this.#chunk.length - this.#at;
  }

  /** Reads the next header; `undefined` at the end of the stream. */
  async next(): Promise<FrameHeader | undefined> {
    let header: FrameHeader;
    if (this.buffered >= FRAME_HEADER_BYTES) {
      header = parseFrameHeader(this.#chunk, this.#at);
      this.#at += FRAME_HEADER_BYTES;
    } else {
      for (let fill = 0; fill < FRAME_HEADER_BYTES;) {
        if (this.buffered === 0 && !await this.#fill(FRAME_HEADER_BYTES - fill)) return undefined;
        while (fill < FRAME_HEADER_BYTES && this.#at < this.#chunk.length) {
          this.#header[fill++] = this.#chunk[this.#at++]!;
        }
      }
      header = parseFrameHeader(this.#header);
    }
    this.#left = header.length;
    return header;
  }

  /**
   * Reads the next part of the payload without a copy: a view of the source's chunk, with headroom if the chunk has it.
   * Resolves to `undefined` at the end of the stream.
   */
  async part(): Promise<Chunk | undefined> {
    while (this.buffered === 0 && this.#left > 0) {
      if (!await this.#fill(this.#left)) return undefined;
    }
    const chunk = this.#chunk;
    const start = this.#at;
    const end = this.#consume(this.#left);
    // The bytes in front, a header or headroom, have been consumed.
    const part: Uint8Array = chunk instanceof HeadroomBuffer
      ? new HeadroomBuffer(chunk.buffer, chunk.byteOffset + start, end - start)
      : chunk.subarray(start, end);
    return part as Chunk;
  }

  /** Copies a part of the payload to a buffer; resolves to the number of bytes, or to null at the end of the stream. */
  async readInto(into: Uint8Array): Promise<number | null> {
    const space = into.length <= this.#left ? into : into.subarray(0, this.#left);
    if (this.buffered === 0 && space.length > 0) {
      const reading = this.#source.readInto?.(space);
      if (reading !== undefined) {
        const count = await reading;
        this.#left -= count ?? 0;
        return count;
      }
      if (!await this.#fill(this.#left)) return null;
    }
    const start = this.#at;
    const end = this.#consume(space.length);
    space.set(this.#chunk.subarray(start, end));
    return end - start;
  }

  /** Copies the rest of the payload; resolves to `undefined` if the stream ends within it. */
  async payload(): Promise<Uint8Array<ArrayBuffer> | undefined> {
    if (this.#left <= this.buffered) {
      const start = this.#at;
      return this.#chunk.slice(start, this.#consume(this.#left)) as Uint8Array<ArrayBuffer>;
    }
    const whole = new Uint8Array(this.#left);
    for (let at = 0; at < whole.length;) {
      const count = await this.readInto(whole.subarray(at));
      if (count === null) return undefined;
      at += count;
    }
    return whole;
  }

  /** Consumes up to `limit` buffered bytes of the payload; returns the offset after them. */
  #consume(limit: number): number {
    const count = Math.min(limit, this.buffered);
    this.#left -= count;
    return this.#at += count;
  }

  async #fill(needed: number): Promise<boolean> {
    const chunk = await this.#source.read(needed);
    this.#chunk = chunk ?? NOTHING;
    this.#at = 0;
    return chunk !== undefined;
  }
}
