/**
 * Wakes those who wait for news of one thing among many.
 * @module
 */

/** Waiters by key; a key without waiters occupies no memory. */
export class Notifier {
  readonly #waiters = new Map<string, Set<() => void>>();

  /** Wakes all waiters of a key. */
  notify(key: string): void {
    const waiters = this.#waiters.get(key);
    if (waiters === undefined) return;
    this.#waiters.delete(key);
    for (const wake of waiters) wake();
  }

  /** Wakes everybody. */
  notifyAll(): void {
    for (const key of [...this.#waiters.keys()]) this.notify(key);
  }

  /**
   * Waits for the next news of a key, a time, or the signal, whichever comes first; never throws.
   * Begin to wait before looking, or news in between are missed.
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
