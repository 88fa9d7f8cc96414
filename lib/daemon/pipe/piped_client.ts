/**
 * Connects a piped job to its client: frames of the connection become standard input, output becomes frames.
 * @module
 */
import { type PipeConn, PipeFrame } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { HashedStdin, type StdinSource } from "../../sandbox/mod.ts";
import type { FrameHeader } from "../../util/mod.ts";
import type { JobPipe } from "../jobs/mod.ts";
import type { OutputStream } from "../store/mod.ts";

/** Interval of keep-alive frames on a silent connection, in milliseconds; a failed write detects a lost client. */
const KEEP_ALIVE_MS = 5000;

/** Time for which the client of a job that is being stopped may read the rest, in milliseconds. */
const HURRY_READ_MS = 1000;

/** Kind of the frames of each stream. */
const STREAM_FRAMES: Readonly<Record<OutputStream, number>> = {
  stdout: PipeFrame.Stdout,
  stderr: PipeFrame.Stderr,
  files: PipeFrame.Files,
};

/** Options of {@linkcode PipedRun}. */
export interface PipedRunOptions {
  /** Maximum size of standard input, in bytes. */
  maxBytes: number;
  /** Deadline from the job's start until the client has read all output, in milliseconds. */
  maxMs: number;
}

/** Client of one piped run. */
export class PipedRun implements JobPipe {
  readonly stdin: StdinSource;
  readonly #conn: PipeConn;
  readonly #options: PipedRunOptions;
  readonly #lost = new AbortController();
  readonly #alive: ReturnType<typeof setInterval>;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  /** Next frame; always being read, so that the end of the connection is detected. */
  #nextFrame: Promise<FrameHeader | undefined> | undefined;
  /** Remaining bytes of the current frame. */
  #left = 0;
  #received = 0;
  #wrote = false;
  /** Resolves the pending write when the client disconnects. */
  #releaseWrite: () => void = () => {};

  constructor(conn: PipeConn, options: PipedRunOptions) {
    this.#conn = conn;
    this.#options = options;
    // One chunk is prefetched while the executor receives the one before.
    const source = new ReadableStream<Uint8Array>({ pull: (to) => this.#pull(to) }, {
      highWaterMark: 1,
    });
    this.stdin = new HashedStdin(source, {
      askEnd: () => this.#send(PipeFrame.StdinStop),
      isBroken: () => this.lost.aborted,
    });
    this.#alive = setInterval(() => {
      if (!this.#wrote) this.#send(PipeFrame.Stdout);
      this.#wrote = false;
    }, KEEP_ALIVE_MS);
  }

  /** Aborts when the client disconnects, violates the protocol or exceeds a limit. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Starts to detect that the client disconnects. */
  watchClient(): void {
    this.#nextFrame ??= this.#readFrame();
  }

  started(): void {
    this.#setDeadline(this.#options.maxMs);
    this.#send(PipeFrame.Started);
  }

  hurry(): void {
    this.#setDeadline(HURRY_READ_MS);
  }

  async write(stream: OutputStream, data: Uint8Array): Promise<void> {
    if (this.lost.aborted) return;
    this.#wrote = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#releaseWrite = resolve;
    this.#conn.write(STREAM_FRAMES[stream], data)
      .then(resolve, (error) => this.#lose(error));
    await promise;
  }

  /** Sends the result; also resolves if the client has disconnected. */
  async end(
    kind: typeof PipeFrame.Result | typeof PipeFrame.Failed,
    json: Uint8Array,
  ): Promise<void> {
    // A slow reader has the job's deadline.
    if (this.#deadline === undefined || this.lost.aborted) this.hurry();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#releaseWrite = resolve;
    this.#conn.write(kind, json).then(resolve, resolve);
    await promise;
  }

  /** Closes the sending side only: closing a TCP connection with unread input would discard the result. */
  async endOutput(): Promise<void> {
    this.hurry();
    const { promise, resolve } = Promise.withResolvers<void>();
    // Deno 2.7 never settles a blocked write when its connection is closed.
    this.#releaseWrite = resolve;
    this.#conn.closeWrite().then(resolve);
    await promise;
  }

  /** Stops all timers and closes the connection. */
  close(): void {
    this.release();
    this.#lose(undefined);
    this.#conn.close();
  }

  /** Stops all timers. */
  release(): void {
    clearInterval(this.#alive);
    clearTimeout(this.#deadline);
  }

  #setDeadline(ms: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.#lose(
        new PlasmError(
          "slow-request",
          `Cannot send output: client did not read it within ${ms} ms`,
        ),
      );
      // Ends a read from a client that is connected but silent.
      this.#conn.close();
    }, ms);
  }

  #lose(reason: unknown): void {
    if (!this.lost.aborted) this.#lost.abort(reason);
    this.#releaseWrite();
  }

  #send(kind: number): void {
    this.#wrote = true;
    this.#conn.write(kind).catch((error) => this.#lose(error));
  }

  /** Reads the next frame; `undefined` if the client has disconnected, which aborts the job. */
  async #readFrame(): Promise<FrameHeader | undefined> {
    try {
      const header = await this.#conn.next();
      if (header === undefined) {
        this.#lose(new PlasmError("interrupted", "The client has disconnected"));
      }
      return header;
    } catch (error) {
      this.#lose(error);
      return undefined;
    }
  }

  async #pull(to: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    while (this.#left === 0) {
      const header = await (this.#nextFrame ??= this.#readFrame());
      if (header === undefined) return to.close();
      if (header.kind === PipeFrame.StdinEnd && header.length === 0) {
        // Only the end of the connection may follow.
        this.#readFrame().then((more) => more && this.#rejectFrame(more.kind));
        return to.close();
      }
      if (header.kind !== PipeFrame.Stdin) {
        this.#rejectFrame(header.kind);
        return to.close();
      }
      this.#left = header.length;
      if (this.#left === 0) this.#nextFrame = this.#readFrame();
    }
    const part = await this.#conn.part().catch(() => undefined);
    if (part === undefined) {
      this.#lose(new PlasmError("interrupted", "The client has disconnected"));
      return to.close();
    }
    this.#received += part.length;
    const { maxBytes } = this.#options;
    if (this.#received > maxBytes) {
      this.#lose(
        new PlasmError("too-large", `Cannot pipe standard input: it exceeds ${maxBytes} bytes`, {
          details: { allowed: maxBytes },
        }),
      );
      return to.close();
    }
    this.#left -= part.length;
    if (this.#left === 0) this.#nextFrame = this.#readFrame();
    to.enqueue(part);
  }

  #rejectFrame(kind: number): void {
    this.#lose(new PlasmError("protocol", `Cannot accept frame: kind ${kind} is not expected`));
  }
}
