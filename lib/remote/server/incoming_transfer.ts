/**
 * Receives the content of an offer across reconnects, and rejects transfers that are too slow.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { BlobRef } from "../wire/mod.ts";

/** Accepts chunks in order and passes them on one at a time: a slow store applies backpressure to the sender. */
export class IncomingBlob {
  readonly ref: BlobRef;
  readonly #stored: Promise<void>;
  #offset = 0;
  #chunk: Uint8Array | null | undefined;
  #wakeReader = Promise.withResolvers<void>();
  #wakeWriter = Promise.withResolvers<void>();
  #fault: Error | undefined;

  /** @param store Reads all of the source and keeps it, or throws */
  constructor(ref: BlobRef, store: (source: AsyncIterable<Uint8Array>) => Promise<void>) {
    this.ref = ref;
    this.#stored = store(this.#source()).catch((error) => {
      this.#fault ??= error;
      this.#wakeWriter.resolve();
      throw error;
    });
    this.#stored.catch(() => {}); // told by push()
  }

  /** Bytes taken so far: where a transfer goes on. */
  get offset(): number {
    return this.#offset;
  }

  /** Whether all of it has come and is kept. */
  get isWhole(): boolean {
    return this.#offset === this.ref.size;
  }

  async *#source(): AsyncGenerator<Uint8Array, void, void> {
    while (true) {
      while (this.#chunk === undefined && this.#fault === undefined) {
        await this.#wakeReader.promise;
        this.#wakeReader = Promise.withResolvers();
      }
      if (this.#fault !== undefined) throw this.#fault;
      if (this.#chunk === null) return;
      yield this.#chunk!;
      this.#chunk = undefined;
      this.#wakeWriter.resolve();
    }
  }

  /**
   * Takes the next chunk; resolves when another may come. After the last one, when all of it is kept.
   *
   * @throws {PlasmError} `protocol` when it is not the next one; what the store throws
   */
  async push(offset: number, data: Uint8Array): Promise<void> {
    const { hash, size } = this.ref;
    if (this.#fault !== undefined) throw this.#fault;
    if (offset !== this.#offset || offset + data.length > size) {
      throw new PlasmError(
        "protocol",
        `Cannot take chunk: bytes ${offset} to ${offset + data.length} of ${hash} came, ` +
          `${this.#offset} of ${size} are here`,
        { details: { offset, expected: this.#offset, size } },
      );
    }
    await this.#hand(data);
    this.#offset += data.length;
    if (!this.isWhole) return;
    this.#chunk = null;
    this.#wakeReader.resolve();
    await this.#stored;
  }

  async #hand(data: Uint8Array): Promise<void> {
    this.#wakeWriter = Promise.withResolvers();
    this.#chunk = data;
    this.#wakeReader.resolve();
    await this.#wakeWriter.promise;
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Aborts and discards what has arrived. Resolves when the store has released it. */
  async discard(reason: Error): Promise<void> {
    this.#fault ??= reason;
    this.#wakeReader.resolve();
    this.#wakeWriter.resolve();
    await this.#stored.catch(() => {}); // the reason, again
  }
}

/** Time for which nothing is asked, in milliseconds: for a line that is cut and comes back. */
const GRACE_MS = 60_000;

/** Least average speed after that, in bytes a millisecond: 32 kbit/s, half of a telephone line. */
const LEAST_SPEED = 4;

/** Counts what came of an offer's content since it was accepted, over all of its connections. */
export class TransferRateCheck {
  readonly #now: () => number;
  readonly #start: number;
  #received = 0;

  /** @param now Milliseconds of a steady clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#start = now();
  }

  /** Counts content that has come. */
  add(bytes: number): void {
    this.#received += bytes;
  }

  /**
   * Checks that enough has come by now.
   *
   * @param pauseMs Longest pause that a client may make
   * @throws {PlasmError} `slow-request`
   */
  check(pauseMs: number): void {
    const elapsed = Math.round(this.#now() - this.#start);
    const allowed = Math.max(GRACE_MS, 2 * pauseMs) + Math.floor(this.#received / LEAST_SPEED);
    if (elapsed <= allowed) return;
    throw new PlasmError(
      "slow-request",
      `Cannot wait for job's content: ${this.#received} bytes came in ${elapsed} ms, ` +
        `for so many ${allowed} ms are allowed`,
      { details: { received: this.#received, elapsed_ms: elapsed, allowed_ms: allowed } },
    );
  }
}
