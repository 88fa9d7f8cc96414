/**
 * Sends standard input to a piped job.
 * @module
 */
import { Hasher } from "../job/hash.ts";
import type { Hash } from "../job/types.ts";
import { type PipeConn, PipeFrame } from "../pipe_frames.ts";

/** Bytes of one frame at most: what is sent of a large piece before it is asked whether to stop. */
const FRAME_BYTES = 1024 * 1024;

/** One job's standard input. */
export class PipeSender {
  readonly #pipe: PipeConn;
  readonly #source: ReadableStream<Uint8Array> | Uint8Array | undefined;
  readonly #hasher = new Hasher();
  /** Lets go of a read that waits. */
  #wake: () => void = () => {};
  #isStopped = false;
  #sending: Promise<void> = Promise.resolve();
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #fault: unknown;

  constructor(pipe: PipeConn, source: ReadableStream<Uint8Array> | Uint8Array | undefined) {
    this.#pipe = pipe;
    this.#source = source;
  }

  /** What the source threw. */
  get fault(): unknown {
    return this.#fault;
  }

  /** Begins: the job has started. */
  start(): void {
    this.#sending = this.#send().catch(() => this.#pipe.close());
  }

  /** Ends the input here: the job takes no more. */
  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /** The hash of all that was sent. */
  async hash(): Promise<Hash> {
    await this.#sending;
    return await this.#hasher.digest();
  }

  /** Lets go of the source. */
  close(): void {
    this.stop();
    this.#reader?.cancel().catch(() => {});
    this.#reader?.releaseLock();
  }

  async #send(): Promise<void> {
    if (this.#source instanceof ReadableStream) await this.#sendStream(this.#source);
    else if (this.#source !== undefined) await this.#sendPiece(this.#source);
    await this.#pipe.write(PipeFrame.StdinEnd);
  }

  async #sendStream(source: ReadableStream<Uint8Array>): Promise<void> {
    const reader = source.getReader();
    this.#reader = reader;
    while (!this.#isStopped) {
      const piece = await this.#next(reader);
      if (piece === undefined) return;
      await this.#sendPiece(piece);
    }
  }

  /** The next piece; undefined at the end, or once the job takes no more. */
  async #next(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<Uint8Array | undefined> {
    const { promise, resolve } = Promise.withResolvers<Uint8Array | undefined>();
    this.#wake = () => resolve(undefined);
    reader.read().then(({ value }) => resolve(value), (error) => {
      if (!this.#isStopped) this.#fault ??= error;
      this.#pipe.close();
    });
    return await promise;
  }

  async #sendPiece(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length && !this.#isStopped; at += FRAME_BYTES) {
      const part = piece.subarray(at, at + FRAME_BYTES);
      const onPiece = (sent: Uint8Array) => this.#hasher.update(sent);
      await this.#pipe.write(PipeFrame.Stdin, part, { onPiece });
    }
  }
}
