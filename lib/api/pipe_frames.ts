/**
 * How a client and a daemon talk in a piped run, once `POST /v1/pipe` has been answered with 101: frames
 * as `framing.ts` has them. schemas/openapi.json describes them.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import {
  FRAME_HEADER_BYTES,
  FrameStart,
  parseFrameHeader,
  READ_AT,
  RoomyBytes,
  SOCKET_BYTES,
} from "../util/mod.ts";

/** What the request asks to upgrade to. */
export const PIPE_PROTOCOL = "plasm-pipe";

/** What a frame carries. */
export const PipeFrame = {
  // To the daemon, once it has said that the job has started.
  Stdin: 1,
  StdinEnd: 2,
  // From the daemon.
  Started: 16,
  /** An empty one is a sign of life. */
  Stdout: 17,
  Stderr: 18,
  /** The job takes no more standard input: the client is to send what ends it. */
  StdinStop: 19,
  /** The job and its receipt; the last frame. */
  Result: 20,
  /** An error in place of a result; the last frame. */
  Failed: 21,
} as const;

/** Largest payload of any frame, in bytes: a receipt takes 2 KiB, output and input are cut anywhere. */
export const MAX_PIPE_FRAME_BYTES: number = 2 ** 20;

/** Bytes of one read: what a socket holds. */
const READ_BYTES = 256 * 1024;

/** Buffers that wait to be used again at most: what is sent, what waits for that, and what is read. */
const MAX_FREE = 3;

/** The start of a frame. */
export interface PipeHeader {
  kind: number;
  /** Bytes of the payload. */
  length: number;
}

/** Options of {@linkcode PipeConn}. */
export interface PipeConnOptions {
  /** Bytes that have been read already. @default {none} */
  before?: Uint8Array;
  /** What is sent before all frames, once it is known. @default {nothing} */
  head?: Promise<Uint8Array>;
}

/** Options of {@linkcode PipeConn.write}. */
export interface PipeWriteOptions {
  /** Is told of each piece of the payload right before that is sent. @default {nobody is} */
  onPiece?: (piece: Uint8Array) => void | Promise<void>;
}

/** Memory that is read into, and used again only once all of it has been released. */
interface HeldBuffer {
  bytes: Uint8Array<ArrayBuffer>;
  /** Parts that were given away, and one for what is unread. */
  holders: number;
}

/** Frames over a connection; one reads at a time, any number write. */
export class PipeConn {
  readonly #conn: Deno.Conn;
  readonly #free: HeldBuffer[] = [];
  #buffer: HeldBuffer;
  /** What has been read and not been taken; in the buffer. */
  #unread: Uint8Array<ArrayBuffer>;
  /** Bytes of the payload that is being taken. */
  #left = 0;
  readonly #start = new FrameStart();
  #lastWrite: Promise<void>;

  constructor(conn: Deno.Conn, options: PipeConnOptions = {}) {
    this.#conn = conn;
    const { before = new Uint8Array() } = options;
    const bytes = new Uint8Array(READ_AT + before.length);
    bytes.set(before, READ_AT);
    this.#buffer = { bytes, holders: 1 };
    this.#unread = bytes.subarray(READ_AT);
    this.#lastWrite = options.head?.then((head) => this.#send(head)) ?? Promise.resolve();
    this.#lastWrite.catch(() => {}); // told by the write after it
  }

  /**
   * The start of the next frame, whose payload is to be taken before the one after; undefined at the end.
   *
   * @throws {PlasmError} `protocol` when it is too long
   */
  async next(): Promise<PipeHeader | undefined> {
    while (this.#unread.length < FRAME_HEADER_BYTES) if (!await this.#read()) return undefined;
    const { kind, length } = parseFrameHeader(this.#unread);
    this.#unread = this.#unread.subarray(FRAME_HEADER_BYTES);
    if (length > MAX_PIPE_FRAME_BYTES) {
      throw new PlasmError(
        "protocol",
        `Cannot read frame: it has ${length} bytes, allowed are ${MAX_PIPE_FRAME_BYTES}`,
      );
    }
    this.#left = length;
    return { kind, length };
  }

  /**
   * Some bytes of the payload, in place: they are left alone until they are released. Who counts on anything
   * else, such as the calls in between, is wrong: the other side decides how many reads a frame takes. None once
   * the payload has been taken; undefined where the connection ends before it.
   */
  async part(): Promise<RoomyBytes | undefined> {
    if (this.#left > 0 && this.#unread.length === 0 && !await this.#read()) return undefined;
    const { buffer, byteOffset, length } = this.#unread;
    const part = new RoomyBytes(buffer, byteOffset, Math.min(length, this.#left));
    this.#unread = this.#unread.subarray(part.length);
    part.more = this.#left -= part.length;
    const holder = this.#buffer;
    holder.holders++;
    part.release = () => {
      part.release = () => {};
      this.#letGo(holder);
    };
    return part;
  }

  /** All of a payload that is small, as JSON's bytes; undefined where the connection ends before it does. */
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

  /** Reads on behind what has not been taken; false at the end. */
  async #read(): Promise<boolean> {
    this.#letGo(this.#buffer);
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

  #letGo(buffer: HeldBuffer): void {
    const isLarge = buffer.bytes.length === READ_AT + READ_BYTES; // else it is what came with the head
    if (--buffer.holders === 0 && isLarge && this.#free.length < MAX_FREE) this.#free.push(buffer);
  }

  /** Sends a payload, in as many frames as it takes; it may be changed once this resolves. */
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
    // What is hashed at once would be waited for by a reader that has taken all.
    for (let at = 0; at < rest.length; at += SOCKET_BYTES) {
      const piece = rest.subarray(at, at + SOCKET_BYTES);
      await onPiece?.(piece);
      await this.#send(piece);
    }
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
  }

  /** Sends the end, and waits for the other side's; resolves also when the connection breaks. */
  async closeWrite(): Promise<void> {
    const unread = new Uint8Array(READ_BYTES);
    try {
      await this.#conn.closeWrite();
      while (await this.#conn.read(unread) !== null);
    } catch {
      // It was closed.
    }
  }

  /** Closes the connection; what waits on it is rejected. */
  close(): void {
    try {
      this.#conn.close();
    } catch {
      // It was closed before.
    }
  }
}

const encoder = new TextEncoder();

/** A frame's payload as JSON. */
export function encodePipeJson(value: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(value));
}
