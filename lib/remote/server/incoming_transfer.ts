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
  readonly #store: (source: AsyncIterable<Uint8Array>) => Promise<void>;
  /** Set by the first chunk: a job may have more inputs than the process may open files. */
  #stored: Promise<void> | undefined;
  #offset = 0;
  #chunk: Uint8Array | null | undefined;
  #wakeReader = Promise.withResolvers<void>();
  #wakeWriter = Promise.withResolvers<void>();
  #fault: Error | undefined;

  /** @param store Reads the source to its end and stores it, or throws */
  constructor(ref: BlobRef, store: (source: AsyncIterable<Uint8Array>) => Promise<void>) {
    this.ref = ref;
    this.#store = store;
  }

  #begin(): void {
    this.#stored = this.#store(this.#source()).catch((error) => {
      this.#fault ??= error;
      this.#wakeWriter.resolve();
      throw error;
    });
    this.#stored.catch(() => {}); // reported by push()
  }

  /** Bytes received; the transfer continues here. */
  get offset(): number {
    return this.#offset;
  }

  /** Whether all bytes were received. */
  get isComplete(): boolean {
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
   * Passes on the next chunk; resolves when another one is accepted. After the last one, resolves when the content
   * is stored.
   *
   * @throws {PlasmError} `protocol` if it is not the next chunk; errors of the store
   */
  async push(offset: number, data: Uint8Array): Promise<void> {
    const { hash, size } = this.ref;
    if (this.#fault !== undefined) throw this.#fault;
    if (offset !== this.#offset || offset + data.length > size) {
      throw new PlasmError(
        "protocol",
        `Cannot accept chunk: received bytes ${offset} to ${offset + data.length} of ${hash}, ` +
          `expected from ${this.#offset} of ${size}`,
        { details: { offset, expected: this.#offset, size } },
      );
    }
    if (this.#stored === undefined) this.#begin();
    await this.#deliver(data);
    this.#offset += data.length;
    if (!this.isComplete) return;
    this.#chunk = null;
    this.#wakeReader.resolve();
    await this.#stored;
  }

  async #deliver(data: Uint8Array): Promise<void> {
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
    await this.#stored?.catch(() => {}); // rejects with the reason
  }
}

/** Time before the speed is checked, in milliseconds: a lost connection may be re-established within it. */
const GRACE_MS = 60_000;

/** Lowest average speed after that, in bytes a millisecond: 32 kbit/s. */
const MIN_SPEED = 4;

/** Measures the transfer of an offer's content since its acceptance, across all connections. */
export class TransferRateCheck {
  readonly #now: () => number;
  readonly #start: number;
  #received = 0;

  /** @param now Monotonic clock, in milliseconds */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#start = now();
  }

  /** Counts received content. */
  add(bytes: number): void {
    this.#received += bytes;
  }

  /**
   * Checks that enough has been received by now.
   *
   * @param pauseMs Longest pause that a client may make
   * @throws {PlasmError} `slow-request`
   */
  check(pauseMs: number): void {
    const elapsed = Math.round(this.#now() - this.#start);
    const allowed = Math.max(GRACE_MS, 2 * pauseMs) + Math.floor(this.#received / MIN_SPEED);
    if (elapsed <= allowed) return;
    throw new PlasmError(
      "slow-request",
      `Transfer is too slow: ${this.#received} bytes received in ${elapsed} ms, ` +
        `allowed are ${allowed} ms`,
      { details: { received: this.#received, elapsed_ms: elapsed, allowed_ms: allowed } },
    );
  }
}
