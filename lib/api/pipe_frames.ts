/**
 * Frames of a piped run, which client and daemon exchange after response 101 of `POST /v1/pipe`; see schemas/openapi.json.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import {
  BufferPool,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameReader,
  FrameWriter,
  HeadroomBuffer,
  READ_AT,
  SOCKET_BYTES,
  writeAll,
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
  /** A part of the archive of output files, after all output. */
  Files: 22,
} as const;

/** Maximum payload of a frame, in bytes: a receipt names up to 16,384 files. Input and output are split anywhere. */
export const MAX_PIPE_FRAME_BYTES: number = 8 * 2 ** 20;

/** Size of one read, in bytes: the capacity of a socket. */
const READ_BYTES = 256 * 1024;

/** Options of {@linkcode PipeConn}. */
export interface PipeConnOptions {
  /** Bytes that were read behind the HTTP head. @default {none} */
  before?: Uint8Array;
  /** Bytes to send before all frames. @default {none} */
  head?: Promise<Uint8Array>;
}

/** Options of {@linkcode PipeConn.write}. */
export interface PipeWriteOptions {
  /** Called with each piece of the payload before it is sent. @default {none} */
  onPiece?: (piece: Uint8Array) => void | Promise<void>;
}

/** Sends and receives frames on a connection. One reader at a time; writers may be concurrent. */
export class PipeConn {
  readonly #conn: Deno.Conn;
  readonly #buffers = new BufferPool();
  /** Bytes that were read behind the HTTP head, until they are consumed. */
  #before: Uint8Array | undefined;
  readonly #reader: FrameReader<HeadroomBuffer> = new FrameReader({ read: () => this.#read() });
  readonly #writer = new FrameWriter();
  #lastWrite: Promise<void>;

  constructor(conn: Deno.Conn, { before, head }: PipeConnOptions = {}) {
    this.#conn = conn;
    this.#before = before;
    this.#lastWrite = head?.then((bytes) => writeAll(this.#conn, bytes)) ?? Promise.resolve();
    this.#lastWrite.catch(() => {}); // reported by the next write
  }

  /**
   * Reads the header of the next frame; undefined at the end. The payload must be consumed before the next call.
   *
   * @throws {PlasmError} `protocol` if the payload is too long
   */
  async next(): Promise<FrameHeader | undefined> {
    const header = await this.#reader.next();
    if (header !== undefined && header.length > MAX_PIPE_FRAME_BYTES) {
      throw new PlasmError(
        "protocol",
        `Cannot read frame: it has ${header.length} bytes, ${MAX_PIPE_FRAME_BYTES} are allowed`,
      );
    }
    return header;
  }

  /**
   * Reads the next bytes of the payload without copying. They are not overwritten until they are released, however many
   * calls follow. Empty at the end of the payload; undefined if the connection ends before it.
   */
  async part(): Promise<HeadroomBuffer | undefined> {
    const view = await this.#reader.part();
    if (view === undefined) return undefined;
    const part = this.#buffers.retain(view);
    part.more = this.#reader.left;
    part.release = () => {
      part.release = () => {};
      this.#buffers.release(part);
    };
    return part;
  }

  /** Reads the rest of the payload; undefined if the connection ends before it. For small ones, such as JSON. */
  async payload(): Promise<Uint8Array | undefined> {
    return await this.#reader.payload();
  }

  /** Reads the next bytes of the connection; undefined at the end. */
  async #read(): Promise<HeadroomBuffer | undefined> {
    const before = this.#before;
    if (before === undefined) return await this.#buffers.read((into) => this.#conn.read(into));
    this.#before = undefined;
    const bytes = new HeadroomBuffer(new ArrayBuffer(READ_AT + before.length), READ_AT);
    bytes.set(before);
    return bytes;
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
    const [first, rest] = this.#writer.cut(payload, { kind });
    await onPiece?.(first.subarray(FRAME_HEADER_BYTES));
    await writeAll(this.#conn, first);
    // In pieces, so that the reader receives one while onPiece hashes the next.
    for (let at = 0; at < rest.length; at += SOCKET_BYTES) {
      const piece = rest.subarray(at, at + SOCKET_BYTES);
      await onPiece?.(piece);
      await writeAll(this.#conn, piece);
    }
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
