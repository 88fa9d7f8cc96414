/**
 * The executor's end of what joins it to its parent; see `executor_channel.ts`.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { InitialRead } from "../bootstrap/mod.ts";
import { type Frame, FRAME_HEADER_BYTES, parseFrameHeader } from "../ipc/mod.ts";

/** Bytes that are read ahead of what is asked for: a small job comes as one piece. */
const AHEAD_BYTES = 64 * 1024;

/** Options of {@linkcode connectToParent}. */
export interface ParentConnectionOptions {
  /** Path of the parent's socket. @default {standard input and output} */
  socket?: string | undefined;
  /** A read of standard input that is under way. @default {none} */
  first?: InitialRead | undefined;
  /** Largest payload that is taken of a kind, in bytes; a kind that is not named is refused. */
  maxBytes: (kind: number) => number | undefined;
  /** The kind whose payload is not in its frame, but read by itself. */
  streamed: number;
}

/** A frame; of the streamed kind its payload is still to come. */
export interface ParentFrame extends Frame {
  /** Bytes to be read with {@linkcode ParentConnection.readPayload} before the next frame. */
  streamedBytes: number;
}

/** Frames to and from the parent. */
export class ParentConnection {
  readonly #source: { read(into: Uint8Array): Promise<number | null> };
  readonly #sink: { write(bytes: Uint8Array): Promise<number> };
  readonly #options: ParentConnectionOptions;
  readonly #ahead: Uint8Array;
  #start = 0;
  #end = 0;
  /** From a socket a streamed payload is read to where it belongs, of a frame after one only the header. */
  readonly #isDirect: boolean;
  #streaming = false;
  #lastWrite: Promise<void> = Promise.resolve();
  #first: Promise<number | null> | undefined;

  /** @param conn The parent's socket; without it standard input and output are taken. */
  constructor(conn: Deno.Conn | undefined, options: ParentConnectionOptions) {
    this.#source = conn ?? Deno.stdin;
    this.#sink = conn ?? Deno.stdout;
    this.#options = options;
    const { bytes = new Uint8Array(AHEAD_BYTES), count } = options.first ?? {};
    this.#ahead = bytes;
    this.#first = count?.then((count) => {
      this.#first = undefined;
      this.#end = count ?? 0;
      return count;
    });
    this.#isDirect = conn !== undefined;
  }

  /**
   * The next frame; undefined when the parent has gone.
   *
   * @throws {PlasmError} `executor` on a frame that is not allowed
   */
  async next(): Promise<ParentFrame | undefined> {
    while (this.#end - this.#start < FRAME_HEADER_BYTES) {
      if (!await this.#readAhead()) return undefined;
    }
    const header = this.#ahead.subarray(this.#start, this.#start += FRAME_HEADER_BYTES);
    const { kind, length } = parseFrameHeader(header);
    const max = this.#options.maxBytes(kind);
    if (max === undefined || length > max) {
      throw new PlasmError(
        "executor",
        `Cannot read frame: kind ${kind} of ${length} bytes, allowed are ${max ?? "none"}`,
      );
    }
    this.#streaming = this.#isDirect && kind === this.#options.streamed;
    if (kind === this.#options.streamed) {
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

  /** Reads some of the payload that is still to come, no more; null when the parent has gone. */
  async readPayload(into: Uint8Array): Promise<number | null> {
    if (this.#start === this.#end) {
      // Each read of a pipe is costly, so there all that it holds is taken.
      if (this.#isDirect || into.length >= AHEAD_BYTES) return await this.#source.read(into);
      if (!await this.#readAhead()) return null;
    }
    const count = Math.min(into.length, this.#end - this.#start);
    into.set(this.#ahead.subarray(this.#start, this.#start += count));
    return count;
  }

  /** Resolves once the first read is over, or after so many milliseconds. */
  async awaitFirst(ms: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const wait = (ms: number) => new Promise((resolve) => timer = setTimeout(resolve, ms));
    await Promise.race([this.#first, wait(ms)]);
    clearTimeout(timer);
    // A thread that had no turn meanwhile hears of the time before it hears of the read.
    if (this.#first !== undefined) await wait(0);
  }

  /** A copy of the first payload of a kind among the whole frames that have been read ahead; they stay. */
  peek(kind: number): Uint8Array<ArrayBuffer> | undefined {
    for (let at = this.#start; at + FRAME_HEADER_BYTES <= this.#end;) {
      const header = parseFrameHeader(this.#ahead.subarray(at, at += FRAME_HEADER_BYTES));
      const end = at + header.length;
      if (end > this.#end) return undefined;
      if (header.kind === kind) return this.#ahead.slice(at, end);
      at = end;
    }
    return undefined;
  }

  /** Bytes that have been read ahead: so many can be had without waiting. */
  get aheadBytes(): number {
    return this.#end - this.#start;
  }

  /** Sends bytes, after those of the call before: a frame is whole before the next begins. */
  write(bytes: Uint8Array): Promise<void> {
    return this.#lastWrite = this.#lastWrite.then(async () => {
      for (let at = 0; at < bytes.length;) at += await this.#sink.write(bytes.subarray(at));
    });
  }

  async #readAhead(): Promise<boolean> {
    if (this.#first !== undefined) return await this.#first !== null;
    if (this.#start > 0) {
      this.#ahead.copyWithin(0, this.#start, this.#end);
      this.#end -= this.#start;
      this.#start = 0;
    }
    const most = this.#streaming ? FRAME_HEADER_BYTES : AHEAD_BYTES;
    const count = await this.#source.read(this.#ahead.subarray(this.#end, most));
    this.#end += count ?? 0;
    return count !== null;
  }
}

/** Connects to the parent's socket, or without one takes standard input and output. */
export async function connectToParent(options: ParentConnectionOptions): Promise<ParentConnection> {
  const { socket } = options;
  const conn = socket === undefined
    ? undefined
    : await Deno.connect({ transport: "unix", path: socket }).catch(() => undefined);
  return new ParentConnection(conn, options);
}
