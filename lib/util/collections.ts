/**
 * Collections that the standard library does not have: bounded map, heap and notifier.
 *
 * @module
 */

/** Bounded map; evicts the entry that was set longest ago. */
export class BoundedMap<K, V> implements Iterable<[K, V]> {
  #entries = new Map<K, V>();
  #limit: number;

  /** `limit` is the most entries the map stores. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Number of entries. */
  get size(): number {
    return this.#entries.size;
  }

  /** Value of a key. Does not change the order of eviction. */
  get(key: K): V | undefined {
    return this.#entries.get(key);
  }

  /** Sets an entry and makes it the newest. */
  set(key: K, value: V): void {
    this.#entries.delete(key);
    this.#entries.set(key, value);
    if (this.#entries.size <= this.#limit) return;
    const [oldest] = this.#entries.keys();
    this.#entries.delete(oldest!);
  }

  /** Deletes an entry. */
  delete(key: K): void {
    this.#entries.delete(key);
  }

  [Symbol.iterator](): Iterator<[K, V]> {
    return this.#entries[Symbol.iterator]();
  }
}

/** Binary min-heap: constant-time peek, logarithmic push and pop. */
export class Heap<T> {
  readonly #items: T[] = [];
  readonly #isBefore: (a: T, b: T) => boolean;

  /** The result of `isBefore` must not change for items in the heap. */
  constructor(isBefore: (a: T, b: T) => boolean) {
    this.#isBefore = isBefore;
  }

  /** Number of items. */
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

  /** Removes and returns the least item. */
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

/** Wakes waiters by key. A key without waiters occupies no memory. */
export class Notifier {
  readonly #waiters = new Map<string, Set<() => void>>();
  readonly #listeners = new Set<(key: string) => void>();

  /** Calls a function with the key of each notification, until it is disposed of. The function must not throw. */
  listen(listener: (key: string) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => void this.#listeners.delete(listener) };
  }

  /** Wakes all waiters of a key. */
  notify(key: string): void {
    for (const listener of this.#listeners) listener(key);
    const waiters = this.#waiters.get(key);
    if (waiters === undefined) return;
    this.#waiters.delete(key);
    for (const wake of waiters) wake();
  }

  /** Wakes all waiters of all keys. */
  notifyAll(): void {
    for (const key of [...this.#waiters.keys()]) this.notify(key);
  }

  /**
   * Waits for the next notification of a key, the timeout or the signal, whichever comes first. Never rejects.
   * Call it before reading the state it guards; otherwise a notification in between is missed.
   */
  wait(key: string, options: { signal: AbortSignal; timeoutMs: number }): Promise<void> {
    const { signal, timeoutMs } = options;
    if (signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      let waiters = this.#waiters.get(key);
      if (waiters === undefined) this.#waiters.set(key, waiters = new Set());
      const done = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", done);
        const rest = this.#waiters.get(key);
        rest?.delete(done);
        if (rest?.size === 0) this.#waiters.delete(key);
        resolve();
      };
      const timer = setTimeout(done, timeoutMs);
      signal.addEventListener("abort", done);
      waiters.add(done);
    });
  }
}
