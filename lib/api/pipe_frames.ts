/**
 * Frames of a piped run, which client and daemon exchange after response 101 of `POST /v1/pipe`; see schemas/openapi.json.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import {
  FRAME_HEADER_BYTES,
  FrameWriter,
  HeadroomBuffer,
  parseFrameHeader,
  READ_AT,
  SOCKET_BYTES,
} from "../util/mod.ts";

/** Protocol name in the Upgrade header. */
export const PIPE_PROTOCOL = "plasm-pipe";

/** Kinds of frames. */
export const PipeFrame = {
  // To the daemon, after Started.
  Stdin: 1,
  StdinEnd: 2,
  // From the daemon.
  Started: 16,
  /** An empty one is a heartbeat. */
  Stdout: 17,
  Stderr: 18,
  /** The job reads no more standard input: the client must send StdinEnd. */
  StdinStop: 19,
  /** The job and its receipt; the last frame. */
  Result: 20,
  /** An error instead of a result; the last frame. */
  Failed: 21,
} as const;

/** Maximum payload of a frame, in bytes. Input and output are split anywhere; a receipt takes 2 KiB. */
export const MAX_PIPE_FRAME_BYTES: number = 2 ** 20;

/** Size of one read, in bytes: the capacity of a socket. */
const READ_BYTES = 256 * 1024;

/** Maximum number of free buffers: one being sent, one waiting to be sent, one being read. */
const MAX_FREE = 3;

/** Header of a frame. */
export interface PipeHeader {
  kind: number;
  /** Length of the payload, in bytes. */
  length: number;
}

/** Options of {@linkcode PipeConn}. */
export interface PipeConnOptions {
  /** Bytes that were read with the HTTP head. @default {none} */
  before?: Uint8Array;
  /** Bytes to send before all frames. @default {none} */
  head?: Promise<Uint8Array>;
}

/** Options of {@linkcode PipeConn.write}. */
export interface PipeWriteOptions {
  /** Called with each piece of the payload before it is sent. @default {none} */
  onPiece?: (piece: Uint8Array) => void | Promise<void>;
}

/** Read buffer; reused when all its parts are released. */
interface HeldBuffer {
  bytes: Uint8Array<ArrayBuffer>;
  /** Number of unreleased parts, plus one for the unread rest. */
  holders: number;
}

/** Sends and receives frames on a connection. One reader at a time; writers may be concurrent. */
export class PipeConn {
  readonly #conn: Deno.Conn;
  readonly #free: HeldBuffer[] = [];
  #buffer: HeldBuffer;
  /** Bytes read but not consumed; part of the buffer. */
  #unread: Uint8Array<ArrayBuffer>;
  /** Unconsumed bytes of the current payload. */
  #left = 0;
  readonly #start = new FrameWriter();
  #lastWrite: Promise<void>;

  constructor(conn: Deno.Conn, options: PipeConnOptions = {}) {
    this.#conn = conn;
    const { before = new Uint8Array() } = options;
    const bytes = new Uint8Array(READ_AT + before.length);
    bytes.set(before, READ_AT);
    this.#buffer = { bytes, holders: 1 };
    this.#unread = bytes.subarray(READ_AT);
    this.#lastWrite = options.head?.then((head) => this.#send(head)) ?? Promise.resolve();
    this.#lastWrite.catch(() => {}); // reported by the next write
  }

  /**
   * Reads the header of the next frame; undefined at the end. The payload must be consumed before the next call.
   *
   * @throws {PlasmError} `protocol` if the payload is too long
   */
  async next(): Promise<PipeHeader | undefined> {
    while (this.#unread.length < FRAME_HEADER_BYTES) if (!await this.#read()) return undefined;
    const { kind, length } = parseFrameHeader(this.#unread);
    this.#unread = this.#unread.subarray(FRAME_HEADER_BYTES);
    if (length > MAX_PIPE_FRAME_BYTES) {
      throw new PlasmError(
        "protocol",
        `Cannot read frame: it has ${length} bytes, at most ${MAX_PIPE_FRAME_BYTES} are allowed`,
      );
    }
    this.#left = length;
    return { kind, length };
  }

  /**
   * Reads the next bytes of the payload without copying. They are not overwritten until they are released, however many
   * calls follow. Empty at the end of the payload; undefined if the connection ends before it.
   */
  async part(): Promise<HeadroomBuffer | undefined> {
    if (this.#left > 0 && this.#unread.length === 0 && !await this.#read()) return undefined;
    const { buffer, byteOffset, length } = this.#unread;
    const part = new HeadroomBuffer(buffer, byteOffset, Math.min(length, this.#left));
    this.#unread = this.#unread.subarray(part.length);
    part.more = this.#left -= part.length;
    const holder = this.#buffer;
    holder.holders++;
    part.release = () => {
      part.release = () => {};
      this.#release(holder);
    };
    return part;
  }

  /** Reads a complete payload; undefined if the connection ends before it. For small ones, such as JSON. */
  async payload({ length }: PipeHeader): Promise<Uint8Array | undefined> {
    const whole = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const part = await this.part();
      if (part === undefined) return undefined;
      whole.set(part, at);
      at += part.length;
      part.release();
    }
    return whole;
  }

  /** Reads more bytes and appends them to the unread ones; false at the end. */
  async #read(): Promise<boolean> {
    this.#release(this.#buffer);
    const buffer = this.#free.pop() ??
      { bytes: new Uint8Array(READ_AT + READ_BYTES), holders: 0 };
    buffer.holders = 1;
    const { bytes } = buffer;
    const end = READ_AT + this.#unread.length;
    bytes.set(this.#unread, READ_AT);
    this.#buffer = buffer;
    const count = await this.#conn.read(bytes.subarray(end));
    this.#unread = bytes.subarray(READ_AT, end + (count ?? 0));
    return count !== null;
  }

  #release(buffer: HeldBuffer): void {
    const isLarge = buffer.bytes.length === READ_AT + READ_BYTES; // else it holds the bytes that came with the head
    if (--buffer.holders === 0 && isLarge && this.#free.length < MAX_FREE) this.#free.push(buffer);
  }

  /** Sends a payload, in several frames if necessary. It may be overwritten when this resolves. */
  write(
    kind: number,
    payload: Uint8Array = new Uint8Array(),
    options: PipeWriteOptions = {},
  ): Promise<void> {
    return this.#lastWrite = this.#lastWrite.then(async () => {
      if (payload.length <= MAX_PIPE_FRAME_BYTES) {
        return await this.#writeFrame(kind, payload, options);
      }
      for (let at = 0; at < payload.length; at += MAX_PIPE_FRAME_BYTES) {
        await this.#writeFrame(kind, payload.subarray(at, at + MAX_PIPE_FRAME_BYTES), options);
      }
    });
  }

  async #writeFrame(
    kind: number,
    payload: Uint8Array,
    { onPiece }: PipeWriteOptions,
  ): Promise<void> {
    const [first, rest] = this.#start.cut(payload, { kind });
    await onPiece?.(first.subarray(FRAME_HEADER_BYTES));
    await this.#send(first);
    // In pieces, so that the reader receives one while onPiece hashes the next.
    for (let at = 0; at < rest.length; at += SOCKET_BYTES) {
      const piece = rest.subarray(at, at + SOCKET_BYTES);
      await onPiece?.(piece);
      await this.#send(piece);
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }

  /** Ends the sending side and waits until the other side ends; also resolves if the connection breaks. */
  async closeWrite(): Promise<void> {
    const unread = new Uint8Array(READ_BYTES);
    try {
      await this.#conn.closeWrite();
      while (await this.#conn.read(unread) !== null);
    } catch {
      // Already closed.
    }
  }

  /** Closes the connection; pending reads and writes are rejected. */
  close(): void {
    try {
      this.#conn.close();
    } catch {
      // Already closed.
    }
  }
}

const encoder = new TextEncoder();

/** Encodes the payload of a JSON frame. */
export function encodePipeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}
