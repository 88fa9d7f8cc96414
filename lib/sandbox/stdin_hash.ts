/**
 * Standard input that is hashed as it is taken, so that the receipt can name it.
 * @module
 */
import { type Hash, Hasher } from "../core/mod.ts";

/** Options of {@linkcode HashedStdin}. */
export interface HashedStdinOptions {
  /**
   * Whether the source is read on to its end whatever it takes: it is known to have one.
   * @default {false: 64 MiB at most, and until it makes a pause}
   */
  toEnd?: boolean;
  /**
   * Asks the source for its end, which is then waited for: in place of the cut, so that who fills the
   * source knows what was hashed.
   * @default {none: it is cut}
   */
  askEnd?: (() => void) | undefined;
  /**
   * Whether the source has ended before its end, and the job is to be stopped for it: its guest is then left
   * waiting, or it could end as if it had been given everything.
   * @default {it never has}
   */
  isBroken?: (() => boolean) | undefined;
}

/** Standard input whose hash is known once the job is over. */
export interface StdinSource {
  /** What the job reads. */
  readonly stream: ReadableStream<Uint8Array>;
  /** The hash of all that was taken; after the job's end. */
  digest(): Promise<Hash>;
}

/** Bytes that are read on after the job's end, to hash an input that the job did not read whole. */
const MAX_REST_BYTES = 64 * 2 ** 20;

/** How long the source may pause after the job's end before it counts as ended, in ms. */
const REST_PAUSE_MS = 100;

/**
 * Hashes a stream while a job takes from it. A job may end before it has read everything: what the
 * source still has at hand is then hashed too, so that the hash of a file or of a pipe that has been
 * written does not depend on timing. An endless or idle source is cut.
 */
export class HashedStdin implements StdinSource {
  /** What the job reads. */
  readonly stream: ReadableStream<Uint8Array>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #hasher = new Hasher();
  readonly #toEnd: boolean;
  readonly #askEnd: (() => void) | undefined;
  #pending: Promise<ReadableStreamReadResult<Uint8Array>> | undefined;
  #ended = false;

  constructor(source: ReadableStream<Uint8Array>, options: HashedStdinOptions = {}) {
    this.#toEnd = options.toEnd ?? false;
    this.#askEnd = options.askEnd;
    this.#reader = source.getReader();
    this.stream = new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        const { done, value } = await this.#next();
        if (!done) controller.enqueue(value);
        else if (options.isBroken?.() !== true) controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** The hash of all that was taken. The source is cancelled. */
  async digest(): Promise<Hash> {
    const most = this.#hasher.bytes + MAX_REST_BYTES;
    while (!this.#ended && this.#toEnd) await this.#next();
    while (!this.#ended && this.#hasher.bytes < most && await this.#more());
    if (!this.#ended && this.#askEnd !== undefined) {
      this.#askEnd();
      while (!this.#ended) await this.#next();
    }
    // A read may still be pending, on a terminal for ever: it is left behind.
    this.#reader.cancel().catch(() => {});
    return await this.#hasher.digest();
  }

  /** Reads on once; false when the source makes a pause. */
  async #more(): Promise<boolean> {
    const pause = Promise.withResolvers<false>();
    const timer = setTimeout(() => pause.resolve(false), REST_PAUSE_MS);
    try {
      return await Promise.race([this.#next().then(() => true), pause.promise]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** The next chunk, hashed. A read that is under way is joined, not repeated. */
  #next(): Promise<ReadableStreamReadResult<Uint8Array>> {
    this.#pending ??= this.#read().finally(() => this.#pending = undefined);
    return this.#pending;
  }

  async #read(): Promise<ReadableStreamReadResult<Uint8Array>> {
    const result = await this.#reader.read();
    if (result.done) this.#ended = true;
    else await this.#hasher.update(result.value);
    return result;
  }
}
