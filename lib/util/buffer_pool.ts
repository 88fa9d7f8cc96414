/**
 * Read buffers that are reused: a pool whose views are lent without a copy, and a buffer whose size follows the load.
 *
 * A copy or an allocation for each read costs a fifth of the time until the bytes are hashed and sent.
 *
 * @module
 */
import { HeadroomBuffer, READ_AT } from "./framing.ts";

/** Size of one read from a socket, in bytes: at least the default size of the kernel's buffers. */
const READ_BYTES = 256 * 1024;

/** Maximum number of buffers in the pool: queued for the consumer, being filled and being consumed. */
const MAX_BUFFERS = 6;

/** Buffer pool that counts the retained views of each buffer. */
export class BufferPool {
  readonly #retained = new Map<ArrayBufferLike, number>();
  /** Fallback whose bytes are copied, used while every buffer has retained views. */
  #spare: HeadroomBuffer | undefined;

  /**
   * Reads into a buffer without retained views.
   *
   * @param read Reads some bytes and resolves to their count, or to null at the end.
   * @returns The bytes, valid until the next call, or until all retained views are released. `undefined` at the end.
   */
  async read(
    read: (into: Uint8Array) => Promise<number | null>,
  ): Promise<HeadroomBuffer | undefined> {
    const into = this.#free();
    const count = await read(into);
    if (count === null) return undefined;
    return new HeadroomBuffer(into.buffer, into.byteOffset, count);
  }

  /** Retains a view until it is released. Returns a copy if every buffer was in use when it was read. */
  retain<Bytes extends Uint8Array>(view: Bytes): Bytes | HeadroomBuffer {
    const views = this.#retained.get(view.buffer);
    if (views !== undefined) this.#retained.set(view.buffer, views + 1);
    else if (view.buffer === this.#spare?.buffer) {
      const copy = new HeadroomBuffer(new ArrayBuffer(READ_AT + view.length), READ_AT);
      copy.set(view);
      return copy;
    }
    return view;
  }

  /** Copies a view of a pooled buffer; returns other bytes as they are. */
  copy(view: Uint8Array): Uint8Array {
    const { buffer } = view;
    return this.#retained.has(buffer) || buffer === this.#spare?.buffer ? view.slice() : view;
  }

  /** Releases a retained view. */
  release(view: Uint8Array): void {
    const views = this.#retained.get(view.buffer);
    if (views !== undefined) this.#retained.set(view.buffer, views - 1);
  }

  /**
   * Discards all buffers, whether or not their views are released. A consumer that was cancelled may have a write of
   * a view pending, and the next bytes may belong to another job, so the memory is never used again.
   */
  discard(): void {
    this.#retained.clear();
  }

  #free(): HeadroomBuffer {
    for (const [buffer, views] of this.#retained) {
      if (views === 0) return new HeadroomBuffer(buffer as ArrayBuffer, READ_AT);
    }
    if (this.#retained.size === MAX_BUFFERS) return this.#spare ??= create();
    const into = create();
    this.#retained.set(into.buffer, 0);
    return into;
  }
}

function create(): HeadroomBuffer {
  return new HeadroomBuffer(new ArrayBuffer(READ_AT + READ_BYTES), READ_AT);
}

/** Size for an idle connection, in bytes. A ping needs less. */
const MIN_BYTES = 8 * 1024;
/**
 * Size for a busy connection, in bytes: four Noise messages. A message in one piece is decrypted in place; one
 * that spans two reads must be joined first.
 */
const MAX_BYTES = 256 * 1024;

/** Provides space to read into and returns the bytes read as stable arrays. */
export class ReadBuffer {
  /** Where the next bytes go. */
  space: Uint8Array<ArrayBuffer> = new Uint8Array(MIN_BYTES);

  /**
   * Passes the bytes read to the caller and replaces the space where necessary.
   *
   * @param filled The filled start of the space, or of the memory that replaced it.
   */
  take(filled: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> {
    const size = filled.buffer.byteLength;
    if (filled.length > size / 4) {
      const isFull = filled.length === size;
      this.space = new Uint8Array(isFull ? Math.min(2 * size, MAX_BYTES) : size);
      return filled;
    }
    // A few bytes must not retain a large buffer.
    const bytes = filled.slice();
    const isIdle = size > MIN_BYTES && filled.length < size / 16;
    this.space = new Uint8Array(isIdle ? new ArrayBuffer(size / 2) : filled.buffer);
    return bytes;
  }
}
