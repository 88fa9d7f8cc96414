/**
 * A list of 32-bit integers that keeps its memory when it is cleared: rewritings fill some for each function body.
 *
 * @module
 */

/** Growing list of signed 32-bit integers. */
export class IntList {
  /** The items, followed by unused capacity. Replaced when the list grows. */
  values: Int32Array<ArrayBuffer>;
  /** Number of items. */
  length = 0;

  /** @param capacity Expected number of items. */
  constructor(capacity = 256) {
    this.values = new Int32Array(capacity);
  }

  /** Appends an item. */
  push(value: number): void {
    if (this.length === this.values.length) this.#grow(this.length * 2);
    this.values[this.length++] = value;
  }

  /** Sets the length; items beyond the previous one are arbitrary. */
  resize(length: number): void {
    if (length > this.values.length) this.#grow(Math.max(length, this.values.length * 2));
    this.length = length;
  }

  /** The items as offsets, in the memory of the list. */
  toOffsets(): Uint32Array<ArrayBuffer> {
    return new Uint32Array(this.values.buffer, 0, this.length);
  }

  #grow(capacity: number): void {
    const grown = new Int32Array(capacity);
    grown.set(this.values);
    this.values = grown;
  }
}
