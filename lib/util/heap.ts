/**
 * A binary heap: the least of many things, found in constant and changed in logarithmic time.
 * @module
 */

/** Keeps items so that the least is at hand. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  /** `isBefore` must not change for an item that is in the heap. */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  /** How many items there are. */
  get size(): number {
    return this.#items.length;
  }

  /** The least item. */
  peek(): T | undefined {
    return this.#items[0];
  }

  /** Adds an item. */
  push(item: T): void {
    let index = this.#items.push(item) - 1;
    while (index > 0) {
      const parent = (index - 1) >>> 1;
      if (!this.#isBefore(item, this.#items[parent]!)) break;
      this.#items[index] = this.#items[parent]!;
      index = parent;
    }
    this.#items[index] = item;
  }

  /** Takes out the least item. */
  pop(): T | undefined {
    const least = this.#items[0];
    const last = this.#items.pop();
    if (last === undefined || this.#items.length === 0) return last;
    let index = 0;
    while (true) {
      let child = 2 * index + 1;
      if (child >= this.#items.length) break;
      const right = child + 1;
      if (right < this.#items.length && this.#isBefore(this.#items[right]!, this.#items[child]!)) {
        child = right;
      }
      if (!this.#isBefore(this.#items[child]!, last)) break;
      this.#items[index] = this.#items[child]!;
      index = child;
    }
    this.#items[index] = last;
    return least;
  }
}
