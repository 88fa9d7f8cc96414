/**
 * How a client and a daemon talk in a piped run, once `POST /v1/pipe` has been answered with 101: frames
 * of one kind byte, a little-endian u32 length and that many bytes. schemas/openapi.json describes them.
 * @module
 */
import { PlasmError } from "./errors.ts";

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

/** Bytes before the payload. */
const HEADER_BYTES = 5;

/** Largest payload of any frame, in bytes: a receipt takes 2 KiB, output and input are cut anywhere. */
export const MAX_PIPE_FRAME_BYTES: number = 2 ** 20;

/** Payload up to here is copied behind its header, so that one write sends both; in bytes. */
const COPIED_BYTES = 16 * 1024;

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

/** Frames over a connection; one reads at a time, any number write. */
export class PipeConn {
  readonly #conn: Deno.Conn;
  readonly #header = new Uint8Array(HEADER_BYTES);
  #before: Uint8Array;
  #lastWrite: Promise<void>;

  constructor(conn: Deno.Conn, options: PipeConnOptions = {}) {
    this.#conn = conn;
    this.#before = options.before ?? new Uint8Array();
    this.#lastWrite = options.head?.then((head) => this.#send(head)) ?? Promise.resolve();
    this.#lastWrite.catch(() => {}); // told by the write after it
  }

  /**
   * The start of the next frame, whose payload is to be read before the one after; undefined at the end.
   *
   * @throws {PlasmError} `protocol` when it is too long
   */
  async next(): Promise<PipeHeader | undefined> {
    const header = this.#header;
    for (let at = 0; at < HEADER_BYTES;) {
      const count = await this.read(header.subarray(at));
      if (count === null) return undefined;
      at += count;
    }
    const length = new DataView(header.buffer).getUint32(1, true);
    if (length > MAX_PIPE_FRAME_BYTES) {
      throw new PlasmError(
        "protocol",
        `Cannot read frame: it has ${length} bytes, allowed are ${MAX_PIPE_FRAME_BYTES}`,
      );
    }
    return { kind: header[0]!, length };
  }

  /** Reads some bytes of a payload; null at the end of the connection. */
  async read(into: Uint8Array): Promise<number | null> {
    const before = this.#before;
    if (before.length === 0) return await this.#conn.read(into);
    const count = Math.min(into.length, before.length);
    into.set(before.subarray(0, count));
    this.#before = before.subarray(count);
    return count;
  }

  /** Reads a payload that is small; undefined where the connection ends before it does. */
  async payload({ length }: PipeHeader): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const whole = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const count = await this.read(whole.subarray(at));
      if (count === null) return undefined;
      at += count;
    }
    return whole;
  }

  /** Sends a payload, in as many frames as it takes; it may be changed once this resolves. */
  write(kind: number, payload: Uint8Array = new Uint8Array()): Promise<void> {
    return this.#lastWrite = this.#lastWrite.then(async () => {
      let at = 0;
      do {
        const part = payload.subarray(at, at + MAX_PIPE_FRAME_BYTES);
        await this.#writeFrame(kind, part);
        at += part.length;
      } while (at < payload.length);
    });
  }

  async #writeFrame(kind: number, payload: Uint8Array): Promise<void> {
    const isCopied = payload.length <= COPIED_BYTES;
    const head = new Uint8Array(HEADER_BYTES + (isCopied ? payload.length : 0));
    head[0] = kind;
    new DataView(head.buffer).setUint32(1, payload.length, true);
    if (isCopied) head.set(payload, HEADER_BYTES);
    await this.#send(head);
    if (!isCopied) await this.#send(payload);
  }

  async #send(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length;) at += await this.#conn.write(bytes.subarray(at));
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
