/**
 * Stores the sparse, growable content of an in-memory file.
 *
 * @module
 */

/** Size of a full chunk, in bytes: large files need few objects, growing copies little, and the last chunk wastes little. */
export const CONTENT_CHUNK_BYTES: number = 64 * 1024;

/** Initial size of a chunk, which doubles up to {@linkcode CONTENT_CHUNK_BYTES}: 100,000 tiny files must not take 64 KiB each. */
const FIRST_CHUNK_BYTES = 64;

/** Memory of a file's chunks that another thread can read; see {@linkcode SharedTree}. */
export interface ContentMemory {
  /** Takes a chunk of zeros. */
  allocate(bytes: number): Uint8Array;
  /** Makes a chunk the content at an index. */
  place(index: number, chunk: Uint8Array): void;
  /** Returns a chunk that was replaced. */
  free(chunk: Uint8Array): void;
  /** Removes the last chunks, so that a number is left. */
  cut(left: number, removed: readonly (Uint8Array | undefined)[]): void;
  /** Sets the size in bytes. */
  resize(size: number): void;
  /** Returns all chunks of a file that is gone. */
  release(content: FileContent): void;
}

/**
 * Growable sequence of bytes in chunks. A chunk that was never written is a hole, which reads as zeros and takes no
 * memory.
 */
export class FileContent {
  /** Memory of further chunks. @default {that of this thread} */
  memory: ContentMemory | undefined;
  #size = 0;
  #chunks: (Uint8Array | undefined)[] = [];

  /** Logical size, in bytes. */
  get size(): number {
    return this.#size;
  }

  /** Chunks of {@linkcode CONTENT_CHUNK_BYTES}, the last of which may be shorter; undefined for holes. */
  get chunks(): readonly (Uint8Array | undefined)[] {
    return this.#chunks;
  }

  /** Creates content of chunks, which writes to the file change. */
  static of(chunks: readonly (Uint8Array | undefined)[], size: number): FileContent {
    const content = new FileContent();
    content.#chunks = [...chunks];
    content.#size = size;
    return content;
  }

  /** Creates content in the memory of `data`, which writes to the file change. */
  static from(data: Uint8Array): FileContent {
    const content = new FileContent();
    for (let at = 0; at < data.length; at += CONTENT_CHUNK_BYTES) {
      content.#chunks.push(data.subarray(at, at + CONTENT_CHUNK_BYTES));
    }
    content.#size = data.length;
    return content;
  }

  /** Copies up to `length` bytes at `offset` to `target[start]` and returns the number copied. */
  read(offset: number, target: Uint8Array, start: number, length: number): number {
    const count = Math.min(length, this.#size - offset);
    if (count <= 0) return 0;
    let done = 0;
    while (done < count) {
      const at = offset + done;
      const within = at % CONTENT_CHUNK_BYTES;
      const step = Math.min(count - done, CONTENT_CHUNK_BYTES - within);
      const chunk = this.#chunks[(at - within) / CONTENT_CHUNK_BYTES];
      const held = chunk === undefined ? 0 : Math.max(0, Math.min(step, chunk.length - within));
      if (held > 0) copy(chunk!, within, target, start + done, held);
      if (held < step) target.fill(0, start + done + held, start + done + step);
      done += step;
    }
    return count;
  }

  /** Copies `length` bytes of `source` from `start` to `offset`, growing if needed. */
  write(offset: number, source: Uint8Array, start: number, length: number): void {
    let done = 0;
    while (done < length) {
      const at = offset + done;
      const within = at % CONTENT_CHUNK_BYTES;
      const step = Math.min(length - done, CONTENT_CHUNK_BYTES - within);
      const chunk = this.#chunk((at - within) / CONTENT_CHUNK_BYTES, within + step);
      copy(source, start + done, chunk, within, step);
      done += step;
    }
    if (length > 0 && offset + length > this.#size) {
      this.#size = offset + length;
      this.memory?.resize(this.#size);
    }
  }

  /** Truncates the content or extends it with a hole. */
  resize(size: number): void {
    if (size < this.#size) {
      const within = size % CONTENT_CHUNK_BYTES;
      const last = (size - within) / CONTENT_CHUNK_BYTES;
      const kept = within === 0 ? last : last + 1;
      if (kept < this.#chunks.length) {
        const removed = this.#chunks.splice(kept);
        this.memory?.cut(kept, removed);
      }
      // Truncated bytes must read as zeros if the file grows again.
      if (within > 0) this.#chunks[last]?.fill(0, within);
    }
    this.#size = size;
    this.memory?.resize(size);
  }

  /** Returns the chunk at an index with a capacity of at least `needed` bytes. */
  #chunk(index: number, needed: number): Uint8Array {
    while (this.#chunks.length < index) this.#chunks.push(undefined);
    const chunk = this.#chunks[index];
    if (chunk !== undefined && chunk.length >= needed) return chunk;
    let capacity = FIRST_CHUNK_BYTES;
    while (capacity < needed) capacity *= 2;
    const { memory } = this;
    const grown = memory?.allocate(capacity) ?? new Uint8Array(capacity);
    if (chunk !== undefined) grown.set(chunk);
    this.#chunks[index] = grown;
    // In this order another thread never sees a chunk without its content.
    memory?.place(index, grown);
    if (chunk !== undefined) memory?.free(chunk);
    return grown;
  }
}

/** Up to this size a loop is faster than creating a view and calling `set()`. */
const LOOP_BYTES = 32;

function copy(
  source: Uint8Array,
  from: number,
  target: Uint8Array,
  to: number,
  length: number,
): void {
  if (length <= LOOP_BYTES) {
    for (let i = 0; i < length; i++) target[to + i] = source[from + i]!;
  } else {
    target.set(source.subarray(from, from + length), to);
  }
}
