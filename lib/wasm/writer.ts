/**
 * Writes a WebAssembly binary forward.
 * @module
 */

/** A forward writer into a buffer that grows. */
export class ByteWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** @param room Bytes that are expected. */
  constructor(room: number) {
    this.#bytes = new Uint8Array(Math.max(16, room));
  }

  /** How many bytes there are. */
  get length(): number {
    return this.#length;
  }

  /** What has been written. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(0, this.#length);
  }

  /** Forgets all, keeps the room. */
  clear(): void {
    this.#length = 0;
  }

  /** One byte. */
  byte(value: number): void {
    this.#reserve(1);
    this.#bytes[this.#length++] = value;
  }

  /** An unsigned LEB128 number in its shortest form. */
  u32(value: number): void {
    this.#reserve(5);
    let left = value >>> 0;
    for (; left >= 0x80; left >>>= 7) this.#bytes[this.#length++] = (left & 0x7f) | 0x80;
    this.#bytes[this.#length++] = left;
  }

  /** `source[start, end)`. */
  copy(source: Uint8Array, start: number, end: number): void {
    const count = end - start;
    this.#reserve(count);
    this.#bytes.set(source.subarray(start, end), this.#length);
    this.#length += count;
  }

  /** A number of bytes and those bytes: a section, a function body. */
  sized(content: Uint8Array): void {
    this.u32(content.length);
    this.copy(content, 0, content.length);
  }

  #reserve(count: number): void {
    if (this.#length + count <= this.#bytes.length) return;
    const grown = new Uint8Array(Math.max(this.#bytes.length * 2, this.#length + count));
    grown.set(this.bytes);
    this.#bytes = grown;
  }
}

/** Bytes of the shortest form of an unsigned LEB128 number of 32 bits. */
export function lebLength(value: number): number {
  return value < 2 ** 7 ? 1 : value < 2 ** 14 ? 2 : value < 2 ** 21 ? 3 : value < 2 ** 28 ? 4 : 5;
}
