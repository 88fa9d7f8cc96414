/**
 * Reads ahead from a source while earlier data is being sent.
 * @module
 */
import { FIRST_BYTES, READ_AT, RoomyBytes } from "./framing.ts";

/** Room below this is left, in bytes: a read of a pipe is to take what that holds, or half. */
const LEAST_BYTES = 32 * 1024;

/**
 * Where bytes are read from, into memory that is used again: `Deno.stdin`, an open file, a connection. It is
 * read ahead, and never closed.
 */
export interface InputReader {
  /** Reads some bytes; resolves to their number, null at the end. */
  read(into: Uint8Array): Promise<number | null>;
}

/** Memory of which a part has been filled, and of that a part taken. */
class ReadBuffer {
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

  take(): RoomyBytes | undefined {
    const length = this.#filled - this.#taken;
    if (length === 0) return undefined;
    const part = new RoomyBytes(this.#bytes.buffer, READ_AT + this.#taken, length);
    this.#taken = this.#filled;
    return part;
  }

  clear(): void {
    this.#taken = this.#filled = 0;
  }
}

/** Two buffers, of which one is filled while the other is sent: what comes meanwhile is sent together. */
export class ReadAhead {
  readonly #source: InputReader;
  #filling = new ReadBuffer();
  /** It is the one that is filled, or full, and the other is filled already. */
  #taking = this.#filling;
  #spare = new ReadBuffer();
  #changed = Promise.withResolvers<void>();
  #isOver = false;
  #fault: { error: unknown } | undefined;

  /** Begins to read. */
  constructor(source: InputReader) {
    this.#source = source;
    this.#fill().catch((error) => this.#fault = { error }).finally(() => {
      this.#isOver = true;
      this.#notify();
    });
  }

  /**
   * What has been read and not been taken; undefined at the end. It is left alone until the next call.
   *
   * @throws what the source throws
   */
  async take(): Promise<RoomyBytes | undefined> {
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
