/**
 * Prefetches input from a source while earlier data is being sent.
 *
 * @module
 */
import { FIRST_BYTES, HeadroomBuffer, READ_AT } from "./framing.ts";

/** Least free space to read into, in bytes: half of a pipe's default capacity. */
const LEAST_BYTES = 32 * 1024;

/**
 * Source of input that is read into reused memory: `Deno.stdin`, an open file or a connection. It is prefetched and
 * never closed.
 */
export interface InputReader {
  /** Reads some bytes and resolves to their count, or to null at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

/** Buffer with a filled part, of which a first part has been taken. */
class InputBuffer {
  readonly #bytes = new Uint8Array(new ArrayBuffer(READ_AT + FIRST_BYTES), READ_AT);
  #taken = 0;
  #filled = 0;

  get isFull(): boolean {
    return this.#bytes.length - this.#filled < LEAST_BYTES;
  }

  async fill(source: InputReader): Promise<boolean> {
    const room = this.#bytes.subarray(this.#filled);
    const count = await source.read(room);
    if (count === null) return false;
    if (!(count >= 0 && count <= room.length)) {
      throw new RangeError(`Cannot take input: ${count} bytes were read into ${room.length}`);
    }
    this.#filled += count;
    return true;
  }

  take(): HeadroomBuffer | undefined {
    const length = this.#filled - this.#taken;
    if (length === 0) return undefined;
    const part = new HeadroomBuffer(this.#bytes.buffer, READ_AT + this.#taken, length);
    this.#taken = this.#filled;
    return part;
  }

  clear(): void {
    this.#taken = this.#filled = 0;
  }
}

/** Double buffer: one half is filled while the other is sent, so that bytes that arrive meanwhile go out together. */
export class InputPrefetcher {
  readonly #source: InputReader;
  #filling = new InputBuffer();
  /** The buffer that is read from: the one being filled, or a full one while the other is being filled. */
  #taking = this.#filling;
  #spare = new InputBuffer();
  #changed = Promise.withResolvers<void>();
  #isOver = false;
  #fault: { error: unknown } | undefined;

  /** Starts reading. */
  constructor(source: InputReader) {
    this.#source = source;
    this.#fill().catch((error) => this.#fault = { error }).finally(() => {
      this.#isOver = true;
      this.#notify();
    });
  }

  /**
   * Returns the bytes read since the last call, valid until the next one; `undefined` at the end.
   *
   * @throws The error of the source.
   */
  async take(): Promise<HeadroomBuffer | undefined> {
    while (true) {
      const part = this.#taking.take();
      if (part !== undefined) return part;
      if (this.#taking !== this.#filling) {
        this.#spare = this.#taking;
        this.#taking = this.#filling;
        this.#notify();
      } else if (!this.#isOver) await this.#changed.promise;
      else if (this.#fault === undefined) return undefined;
      else throw this.#fault.error;
    }
  }

  async #fill(): Promise<void> {
    while (await this.#filling.fill(this.#source)) {
      this.#notify();
      if (!this.#filling.isFull) continue;
      while (this.#taking !== this.#filling) await this.#changed.promise;
      this.#spare.clear();
      this.#filling = this.#spare;
    }
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}
