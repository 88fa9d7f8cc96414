/**
 * Memory that an executor's output is read into and lent from: to copy it, or to make new memory for each
 * read, takes a fifth of the time that passes until it is hashed and sent on.
 * @module
 */
import { READ_AT, RoomyBytes } from "./framing.ts";

/** Bytes of one read from a socket: what it holds, and more where the system has been told so. */
const READ_BYTES = 256 * 1024;

/** Most buffers: those that wait for the consumer, and those being read and consumed. */
const MOST_BUFFERS = 6;

/** Buffers, and how many views of each are held. */
export class LentBuffers {
  readonly #holders = new Map<ArrayBufferLike, number>();
  /** For bytes that are copied, because all buffers are held. */
  #spare: RoomyBytes | undefined;

  /**
   * Reads into a buffer of which nothing is held.
   *
   * @param read Reads some bytes; null at the end.
   * @returns The bytes, which are left alone until the next call, and then as long as they are held.
   */
  async read(read: (into: Uint8Array) => Promise<number | null>): Promise<RoomyBytes | undefined> {
    const into = this.#free();
    const count = await read(into);
    if (count === null) return undefined;
    return new RoomyBytes(into.buffer, into.byteOffset, count);
  }

  /** A view of what was read, lent until it is given back. */
  hold(view: Uint8Array): Uint8Array {
    const holders = this.#holders.get(view.buffer);
    if (holders === undefined) return this.copy(view);
    this.#holders.set(view.buffer, holders + 1);
    return view;
  }

  /** Bytes of a view of what was read, to be kept. */
  copy(view: Uint8Array): Uint8Array {
    const { buffer } = view;
    return this.#holders.has(buffer) || buffer === this.#spare?.buffer ? view.slice() : view;
  }

  /** Takes a view back. */
  giveBack(view: Uint8Array): void {
    const holders = this.#holders.get(view.buffer);
    if (holders !== undefined) this.#holders.set(view.buffer, holders - 1);
  }

  /**
   * Lets go of all buffers, given back or not: who was lent one and has given up may have left a write of it
   * under way, which nothing ends, and what is read next may be another's.
   */
  forget(): void {
    this.#holders.clear();
  }

  #free(): RoomyBytes {
    for (const [buffer, holders] of this.#holders) {
      if (holders === 0) return new RoomyBytes(buffer as ArrayBuffer, READ_AT);
    }
    if (this.#holders.size === MOST_BUFFERS) return this.#spare ??= create();
    const into = create();
    this.#holders.set(into.buffer, 0);
    return into;
  }
}

function create(): RoomyBytes {
  return new RoomyBytes(new ArrayBuffer(READ_AT + READ_BYTES), READ_AT);
}
