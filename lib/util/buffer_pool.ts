/**
 * Pool of read buffers whose views are lent to a consumer without a copy. A copy or an allocation for each read
 * costs a fifth of the time until the bytes are hashed and sent.
 *
 * @module
 */
import { HeadroomBuffer, READ_AT } from "./framing.ts";

/** Size of one read from a socket, in bytes: at least the default size of the kernel's buffers. */
const READ_BYTES = 256 * 1024;

/** Most buffers in the pool: queued for the consumer, being filled and being consumed. */
const MOST_BUFFERS = 6;

/** Buffer pool that counts the lent views of each buffer. */
export class BufferPool {
  readonly #holders = new Map<ArrayBufferLike, number>();
  /** Fallback whose bytes are copied, used while every buffer has lent views. */
  #spare: HeadroomBuffer | undefined;

  /**
   * Reads into a buffer without lent views.
   *
   * @param read Reads some bytes and resolves to their count, or to null at the end.
   * @returns The bytes, valid until the next call, or for longer while a view is lent. `undefined` at the end.
   */
  async read(
    read: (into: Uint8Array) => Promise<number | null>,
  ): Promise<HeadroomBuffer | undefined> {
    const into = this.#free();
    const count = await read(into);
    if (count === null) return undefined;
    return new HeadroomBuffer(into.buffer, into.byteOffset, count);
  }

  /** Lends a view until `giveBack` is called. Returns a copy if the view is not from a pooled buffer. */
  hold(view: Uint8Array): Uint8Array {
    const holders = this.#holders.get(view.buffer);
    if (holders === undefined) return this.copy(view);
    this.#holders.set(view.buffer, holders + 1);
    return view;
  }

  /** Copies a view of a pooled buffer; returns other bytes as they are. */
  copy(view: Uint8Array): Uint8Array {
    const { buffer } = view;
    return this.#holders.has(buffer) || buffer === this.#spare?.buffer ? view.slice() : view;
  }

  /** Returns a lent view to the pool. */
  giveBack(view: Uint8Array): void {
    const holders = this.#holders.get(view.buffer);
    if (holders !== undefined) this.#holders.set(view.buffer, holders - 1);
  }

  /**
   * Releases all buffers, returned or not. A consumer that was cancelled may have a write of a lent view pending,
   * and the next bytes may belong to another job, so the memory is never used again.
   */
  forget(): void {
    this.#holders.clear();
  }

  #free(): HeadroomBuffer {
    for (const [buffer, holders] of this.#holders) {
      if (holders === 0) return new HeadroomBuffer(buffer as ArrayBuffer, READ_AT);
    }
    if (this.#holders.size === MOST_BUFFERS) return this.#spare ??= create();
    const into = create();
    this.#holders.set(into.buffer, 0);
    return into;
  }
}

function create(): HeadroomBuffer {
  return new HeadroomBuffer(new ArrayBuffer(READ_AT + READ_BYTES), READ_AT);
}
