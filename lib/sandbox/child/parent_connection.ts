/**
 * Connects a child process to its parent, over the parent's Unix socket, otherwise standard input and output.
 *
 * @module
 */
import {
  FRAME_HEADER_BYTES,
  FrameReader,
  parseFrameHeader,
  type PartialWriter,
  writeAll,
} from "../../util/mod.ts";
import type { InitialRead } from "../bootstrap/mod.ts";
import { checkIpcHeader, FrameKind, type IpcFrame, PARENT_FRAMES } from "../ipc/mod.ts";

/** Size of the read buffer, in bytes: a small job arrives in one piece. */
const BUFFER_BYTES = 64 * 1024;

/** Options of {@linkcode connectToParent}. */
export interface ParentConnectionOptions {
  /** Path of the parent's socket. @default {standard input and output} */
  socket?: string | undefined;
  /** A read of standard input in progress. @default {none} */
  initialRead?: InitialRead | undefined;
}

/** A frame from the parent. */
export interface ParentFrame extends IpcFrame {
  /** Bytes to read with {@linkcode ParentConnection.readStdin} before the next frame; 0 unless its kind is Stdin. */
  stdinBytes: number;
}

const NOTHING = new Uint8Array();

/** Reads frames from the parent and writes frames to it. */
export class ParentConnection {
  readonly #source: { read(into: Uint8Array): Promise<number | null> };
  readonly #sink: PartialWriter;
  readonly #buffer: Uint8Array;
  readonly #frames: FrameReader;
  /** Whether payloads are read from the socket into their destination; pipes are read in large pieces. */
  readonly #isDirect: boolean;
  #isStreaming = false;
  #lastWrite: Promise<void> = Promise.resolve();
  #initialRead: Promise<void> | undefined;
  /** Bytes of the initial read, from its end until they are passed to the frame reader. */
  #initial: Uint8Array | undefined;

  /** Uses the socket, or standard input and output without one. */
  constructor(conn: Deno.Conn | undefined, { bytes, count }: Partial<InitialRead> = {}) {
    this.#source = conn ?? Deno.stdin;
    this.#sink = conn ?? Deno.stdout;
    this.#isDirect = conn !== undefined;
    const buffer = this.#buffer = bytes ?? new Uint8Array(BUFFER_BYTES);
    this.#initialRead = count?.then((count) => {
      this.#initial = buffer.subarray(0, count ?? 0);
    });
    this.#frames = new FrameReader({
      read: (needed) => this.#read(needed),
      // A read of a pipe is expensive, so it always fills the buffer.
      readInto: (into) =>
        this.#isDirect || into.length >= BUFFER_BYTES ? this.#source.read(into) : undefined,
    });
  }

  /**
   * Reads the next frame; resolves to `undefined` at the end of the connection.
   *
   * @throws {PlasmError} `executor` for a frame that is not allowed
   */
  async next(): Promise<ParentFrame | undefined> {
    const header = await this.#frames.next();
    if (header === undefined) return undefined;
    checkIpcHeader(header, PARENT_FRAMES);
    const { kind, length } = header;
    const isStdin = kind === FrameKind.Stdin;
    this.#isStreaming = this.#isDirect && isStdin;
    if (isStdin) return { kind, payload: NOTHING, stdinBytes: length };
    const payload = await this.#frames.payload();
    return payload && { kind, payload, stdinBytes: 0 };
  }

  /** Reads a part of the current Stdin frame; resolves to `null` at the end of the connection. */
  readStdin(into: Uint8Array): Promise<number | null> {
    return this.#frames.readInto(into);
  }

  /** Waits for the initial read or the timeout, in milliseconds. */
  async waitForInitialRead(timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const delay = (ms: number) => new Promise((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([this.#initialRead, delay(timeoutMs)]);
    clearTimeout(timer);
    // The event loop runs expired timers before it delivers a completed read: allow it one more turn.
    if (this.#initial === undefined) await delay(0);
  }

  /** Returns a copy of the first complete payload of a kind in the initial read, without consuming it. */
  peek(kind: number): Uint8Array<ArrayBuffer> | undefined {
    const bytes = this.#initial ?? NOTHING;
    for (let at = 0; at + FRAME_HEADER_BYTES <= bytes.length;) {
      const header = parseFrameHeader(bytes, at);
      at += FRAME_HEADER_BYTES;
      const end = at + header.length;
      if (end > bytes.length) return undefined;
      if (header.kind === kind) return bytes.slice(at, end) as Uint8Array<ArrayBuffer>;
      at = end;
    }
    return undefined;
  }

  /** Number of buffered bytes, which can be read without waiting. */
  get bufferedBytes(): number {
    return this.#frames.buffered;
  }

  /** Writes bytes after those of earlier calls, so that frames do not interleave. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#lastWrite = this.#lastWrite.then(() => writeAll(this.#sink, bytes));
  }

  async #read(needed: number): Promise<Uint8Array | undefined> {
    if (this.#initialRead !== undefined) {
      await this.#initialRead;
      this.#initialRead = undefined;
      const initial = this.#initial!;
      this.#initial = undefined;
      return initial.length === 0 ? undefined : initial;
    }
    // Between Stdin frames only the header is buffered: the payload is read into its destination.
    const limit = this.#isStreaming ? needed : BUFFER_BYTES;
    const count = await this.#source.read(this.#buffer.subarray(0, limit));
    return count === null ? undefined : this.#buffer.subarray(0, count);
  }
}

/** Connects to the parent's socket; falls back to standard input and output. */
export async function connectToParent(
  { socket, initialRead }: ParentConnectionOptions,
): Promise<ParentConnection> {
  const conn = socket === undefined
    ? undefined
    : await Deno.connect({ transport: "unix", path: socket }).catch(() => undefined);
  return new ParentConnection(conn, initialRead);
}
