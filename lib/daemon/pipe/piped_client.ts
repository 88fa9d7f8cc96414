/**
 * Connects a piped job to its client: frames of the connection become standard input, output becomes frames.
 * @module
 */
import { type PipeConn, PipeFrame, type PipeHeader } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { HashedStdin, type StdinSource } from "../../sandbox/mod.ts";
import type { JobPipe } from "../jobs/mod.ts";
import type { OutputStream } from "../store/mod.ts";

/** How often a client is sent a sign of life while there is nothing else: one that is gone shows so. In ms. */
const ALIVE_MS = 5000;

/** How long the client of a job that is being stopped may take to read the rest, in milliseconds. */
const HURRY_MS = 1000;

/** Options of {@linkcode PipedRun}. */
export interface PipedRunOptions {
  /** Most bytes of standard input. */
  maxBytes: number;
  /**
   * How long the job and what it wrote may take together, from its start, in milliseconds; a client that
   * still reads then has not read for long.
   */
  maxMs: number;
}

/** One client's side of one run. */
export class PipedRun implements JobPipe {
  readonly stdin: StdinSource;
  readonly #conn: PipeConn;
  readonly #options: PipedRunOptions;
  readonly #gone = new AbortController();
  readonly #alive: ReturnType<typeof setInterval>;
  #deadline: ReturnType<typeof setTimeout> | undefined;
  /** The frame that comes next; it is always waited for, so that the end of the connection is seen. */
  #ahead: Promise<PipeHeader | undefined> | undefined;
  /** Bytes to come of the frame that is being read. */
  #left = 0;
  #taken = 0;
  #wrote = false;
  /** Lets the job's write go that waits for the client. */
  #giveUp: () => void = () => {};

  constructor(conn: PipeConn, options: PipedRunOptions) {
    this.#conn = conn;
    this.#options = options;
    // One piece is read ahead of that which the executor is being sent.
    const source = new ReadableStream<Uint8Array>({ pull: (to) => this.#pull(to) }, {
      highWaterMark: 1,
    });
    this.stdin = new HashedStdin(source, {
      askEnd: () => this.#send(PipeFrame.StdinStop),
      isBroken: () => this.gone.aborted,
    });
    this.#alive = setInterval(() => {
      if (!this.#wrote) this.#send(PipeFrame.Stdout);
      this.#wrote = false;
    }, ALIVE_MS);
  }

  /** Aborts when the client disconnects or violates the protocol. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Looks from now on whether the client is there. */
  watch(): void {
    this.#ahead ??= this.#next();
  }

  started(): void {
    this.#endWithin(this.#options.maxMs);
    this.#send(PipeFrame.Started);
  }

  hurry(): void {
    this.#endWithin(HURRY_MS);
  }

  async write(stream: OutputStream, data: Uint8Array): Promise<void> {
    if (this.gone.aborted) return;
    this.#wrote = true;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#giveUp = resolve;
    this.#conn.write(stream === "stdout" ? PipeFrame.Stdout : PipeFrame.Stderr, data)
      .then(resolve, (error) => this.#lose(error));
    await promise;
  }

  /** Sends the result; also resolves when the client has disconnected. */
  async end(
    kind: typeof PipeFrame.Result | typeof PipeFrame.Failed,
    json: Uint8Array,
  ): Promise<void> {
    // A client that reads slowly has the job's time for this too.
    if (this.#deadline === undefined || this.gone.aborted) this.hurry();
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#giveUp = resolve;
    this.#conn.write(kind, json).then(resolve, resolve);
    await promise;
  }

  /** Lets the client read the end: on TCP, closing on what it still sends would take that from it. */
  async linger(): Promise<void> {
    this.hurry();
    const { promise, resolve } = Promise.withResolvers<void>();
    // Deno 2.7 leaves a write that waits for the client waiting when its connection is closed.
    this.#giveUp = resolve;
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

  #endWithin(ms: number): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => {
      this.#lose(new PlasmError("slow-request", "Cannot pass output on: it was not read in time"));
      // Nothing else ends a read of a client that is there and silent.
      this.#conn.close();
    }, ms);
  }

  #lose(reason: unknown): void {
    if (!this.gone.aborted) this.#gone.abort(reason);
    this.#giveUp();
  }

  #send(kind: number): void {
    this.#wrote = true;
    this.#conn.write(kind).catch((error) => this.#lose(error));
  }

  /** Reads the next frame; undefined when the client has disconnected, which aborts the job. */
  async #next(): Promise<PipeHeader | undefined> {
    try {
      const header = await this.#conn.next();
      if (header === undefined) this.#lose(new PlasmError("interrupted", "The client is gone"));
      return header;
    } catch (error) {
      this.#lose(error);
      return undefined;
    }
  }

  async #pull(to: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    while (this.#left === 0) {
      const header = await (this.#ahead ??= this.#next());
      if (header === undefined) return to.close();
      if (header.kind === PipeFrame.StdinEnd && header.length === 0) {
        // From now on nothing may come but the end of the connection.
        this.#next().then((more) => more && this.#refuse(more.kind));
        return to.close();
      }
      if (header.kind !== PipeFrame.Stdin) {
        this.#refuse(header.kind);
        return to.close();
      }
      this.#left = header.length;
      if (this.#left === 0) this.#ahead = this.#next();
    }
    const part = await this.#conn.part().catch(() => undefined);
    if (part === undefined) {
      this.#lose(new PlasmError("interrupted", "The client is gone"));
      return to.close();
    }
    this.#taken += part.length;
    const { maxBytes } = this.#options;
    if (this.#taken > maxBytes) {
      this.#lose(
        new PlasmError("too-large", `Cannot pipe standard input: it exceeds ${maxBytes} bytes`, {
          details: { allowed: maxBytes },
        }),
      );
      return to.close();
    }
    this.#left -= part.length;
    if (this.#left === 0) this.#ahead = this.#next();
    to.enqueue(part);
  }

  #refuse(kind: number): void {
    this.#lose(new PlasmError("protocol", `Cannot take frame here: kind ${kind}`));
  }
}
