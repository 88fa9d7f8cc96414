/**
 * Child's end of the connection to its parent: the parent's Unix socket, otherwise standard input and output.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { InitialRead } from "../bootstrap/mod.ts";
import { FRAME_HEADER_BYTES, type IpcFrame, parseFrameHeader } from "../ipc/mod.ts";

/** Size of the read buffer, in bytes: a small job arrives in one piece. */
const BUFFER_BYTES = 64 * 1024;

/** Options of {@linkcode connectToParent}. */
export interface ParentConnectionOptions {
  /** Path of the parent's socket. @default {standard input and output} */
  socket?: string | undefined;
  /** A read of standard input in progress. @default {none} */
  initialRead?: InitialRead | undefined;
  /** Maximum payload of a kind, in bytes; a kind without a maximum is rejected. */
  maxBytes: (kind: number) => number | undefined;
  /** Kind whose payload is read separately with {@linkcode ParentConnection.readPayload}. */
  streamedKind: number;
}

/** A frame from the parent. */
export interface ParentFrame extends IpcFrame {
  /** Bytes to read with {@linkcode ParentConnection.readPayload} before the next frame; 0 unless streamed. */
  streamedBytes: number;
}

/** Reads frames from the parent and writes frames to it. */
export class ParentConnection {
  readonly #source: { read(into: Uint8Array): Promise<number | null> };
  readonly #sink: { write(bytes: Uint8Array): Promise<number> };
  readonly #options: ParentConnectionOptions;
  readonly #buffer: Uint8Array;
  #start = 0;
  #end = 0;
  /** Whether streamed payloads are read from the socket into their destination; pipes are read in large pieces. */
  readonly #isDirect: boolean;
  #isStreaming = false;
  #lastWrite: Promise<void> = Promise.resolve();
  #initialRead: Promise<number | null> | undefined;

  /** Uses the socket, or standard input and output without one. */
  constructor(conn: Deno.Conn | undefined, options: ParentConnectionOptions) {
    this.#source = conn ?? Deno.stdin;
    this.#sink = conn ?? Deno.stdout;
    this.#options = options;
    const { bytes = new Uint8Array(BUFFER_BYTES), count } = options.initialRead ?? {};
    this.#buffer = bytes;
    this.#initialRead = count?.then((count) => {
      this.#initialRead = undefined;
      this.#end = count ?? 0;
      return count;
    });
    this.#isDirect = conn !== undefined;
  }

  /**
   * Reads the next frame; resolves to `undefined` at the end of the connection.
   *
   * @throws {PlasmError} `executor` for a frame that is not allowed
   */
  async next(): Promise<ParentFrame | undefined> {
    while (this.#end - this.#start < FRAME_HEADER_BYTES) {
      if (!await this.#fillBuffer()) return undefined;
    }
    const header = this.#buffer.subarray(this.#start, this.#start += FRAME_HEADER_BYTES);
    const { kind, length } = parseFrameHeader(header);
    const max = this.#options.maxBytes(kind);
    if (max === undefined || length > max) {
      throw new PlasmError(
        "executor",
        `Cannot read frame: kind ${kind} of ${length} bytes, allowed are ${max ?? "none"}`,
      );
    }
    this.#isStreaming = this.#isDirect && kind === this.#options.streamedKind;
    if (kind === this.#options.streamedKind) {
      return { kind, payload: new Uint8Array(), streamedBytes: length };
    }
    const payload = new Uint8Array(length);
    for (let at = 0; at < length;) {
      const count = await this.readPayload(payload.subarray(at));
      if (count === null) return undefined;
      at += count;
    }
    return { kind, payload, streamedBytes: 0 };
  }

  /** Reads a part of the current payload; resolves to `null` at the end of the connection. */
  async readPayload(into: Uint8Array): Promise<number | null> {
    if (this.#start === this.#end) {
      // A read of a pipe is expensive, so it always fills the buffer.
      if (this.#isDirect || into.length >= BUFFER_BYTES) return await this.#source.read(into);
      if (!await this.#fillBuffer()) return null;
    }
    const count = Math.min(into.length, this.#end - this.#start);
    into.set(this.#buffer.subarray(this.#start, this.#start += count));
    return count;
  }

  /** Waits for the initial read or the timeout, in milliseconds. */
  async waitForInitialRead(timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const delay = (ms: number) => new Promise((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([this.#initialRead, delay(timeoutMs)]);
    clearTimeout(timer);
    // The event loop runs expired timers before it delivers a completed read: allow it one more turn.
    if (this.#initialRead !== undefined) await delay(0);
  }

  /** Returns a copy of the first complete buffered payload of a kind, without consuming it. */
  peek(kind: number): Uint8Array<ArrayBuffer> | undefined {
    for (let at = this.#start; at + FRAME_HEADER_BYTES <= this.#end;) {
      const header = parseFrameHeader(this.#buffer.subarray(at, at += FRAME_HEADER_BYTES));
      const end = at + header.length;
      if (end > this.#end) return undefined;
      if (header.kind === kind) return this.#buffer.slice(at, end);
      at = end;
    }
    return undefined;
  }

  /** Number of buffered bytes, which can be read without waiting. */
  get bufferedBytes(): number {
    return this.#end - this.#start;
  }

  /** Writes bytes after those of earlier calls, so that frames do not interleave. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#lastWrite = this.#lastWrite.then(async () => {
      for (let at = 0; at < bytes.length;) at += await this.#sink.write(bytes.subarray(at));
    });
  }

  async #fillBuffer(): Promise<boolean> {
    if (this.#initialRead !== undefined) return await this.#initialRead !== null;
    if (this.#start > 0) {
      this.#buffer.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    // Between streamed payloads only the header is buffered: the rest is read into its destination.
    const limit = this.#isStreaming ? FRAME_HEADER_BYTES : BUFFER_BYTES;
    const count = await this.#source.read(this.#buffer.subarray(this.#end, limit));
    this.#end += count ?? 0;
    return count !== null;
  }
}

/** Connects to the parent's socket; falls back to standard input and output. */
export async function connectToParent(
  options: ParentConnectionOptions,
): Promise<ParentConnection> {
  const { socket } = options;
  const conn = socket === undefined
    ? undefined
    : await Deno.connect({ transport: "unix", path: socket }).catch(() => undefined);
  return new ParentConnection(conn, options);
}
