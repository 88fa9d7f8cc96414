/**
 * Sends standard input to a piped job.
 * @module
 */
import { type Hash, Hasher } from "../core/mod.ts";
import { type PipeConn, PipeFrame } from "../api/mod.ts";
import { InputPrefetcher, type InputReader } from "../util/mod.ts";

/** Largest frame, in bytes; between two frames of a large piece the sender checks whether to stop. */
const FRAME_BYTES = 1024 * 1024;

/** Source of standard input. */
export type PipeInput = ReadableStream<Uint8Array> | InputReader | Uint8Array;

/** Sends the standard input of one job. */
export class PipeSender {
  readonly #pipe: PipeConn;
  readonly #source: PipeInput | undefined;
  readonly #hasher = new Hasher();
  /** Releases a pending read. */
  #wake: () => void = () => {};
  #isStopped = false;
  #sending: Promise<void> = Promise.resolve();
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #fault: unknown;

  constructor(pipe: PipeConn, source: PipeInput | undefined) {
    this.#pipe = pipe;
    this.#source = source;
  }

  /** Error of the source. */
  get fault(): unknown {
    return this.#fault;
  }

  /** Starts sending; called when the job has started. */
  start(): void {
    this.#sending = this.#send().catch(() => this.#pipe.close());
  }

  /** Ends the input; called when the job accepts no more. */
  stop(): void {
    this.#isStopped = true;
    this.#wake();
  }

  /** Hash of the bytes sent. */
  async hash(): Promise<Hash> {
    await this.#sending;
    return await this.#hasher.digest();
  }

  /** Releases the source. */
  close(): void {
    this.stop();
    this.#reader?.cancel().catch(() => {});
    this.#reader?.releaseLock();
  }

  async #send(): Promise<void> {
    if (this.#source instanceof ReadableStream) await this.#sendStream(this.#source);
    else if (this.#source instanceof Uint8Array) await this.#sendPiece(this.#source);
    else if (this.#source !== undefined) await this.#sendRead(this.#source);
    await this.#pipe.write(PipeFrame.StdinEnd);
  }

  async #sendStream(source: ReadableStream<Uint8Array>): Promise<void> {
    const reader = source.getReader();
    this.#reader = reader;
    while (!this.#isStopped) {
      const { value } = await this.#await(reader.read()) ?? {};
      if (value === undefined) return;
      await this.#sendPiece(value);
    }
  }

  async #sendRead(source: InputReader): Promise<void> {
    const ahead = new InputPrefetcher(source);
    while (!this.#isStopped) {
      const piece = await this.#await(ahead.take());
      if (piece === undefined) return;
      await this.#sendPiece(piece);
    }
  }

  /** Waits for a read; undefined once the job accepts no more. */
  async #await<T>(reading: Promise<T>): Promise<T | undefined> {
    const { promise, resolve } = Promise.withResolvers<T | undefined>();
    this.#wake = () => resolve(undefined);
    reading.then(resolve, (error) => {
      if (!this.#isStopped) this.#fault ??= error;
      this.#pipe.close();
    });
    return await promise;
  }

  async #sendPiece(piece: Uint8Array): Promise<void> {
    for (let at = 0; at < piece.length && !this.#isStopped; at += FRAME_BYTES) {
      const part = piece.length <= FRAME_BYTES ? piece : piece.subarray(at, at + FRAME_BYTES);
      const onPiece = (sent: Uint8Array) => this.#hasher.update(sent);
      await this.#pipe.write(PipeFrame.Stdin, part, { onPiece });
    }
  }
}
