/**
 * Estimates the Retry-After value for jobs rejected by a full queue.
 * @module
 */

/** Smoothing factor of the moving average: recent jobs dominate after about five samples. */
const WEIGHT = 0.2;

// Bounds: retrying sooner only adds load; beyond a minute the estimate is meaningless.
const SHORTEST_MS = 1000;
const LONGEST_MS = 60_000;

/** Exponential moving average of job durations. */
export class RetryAfterEstimator {
  #averageMs = SHORTEST_MS;

  /** Records the duration of a finished job. */
  add(durationMs: number): void {
    this.#averageMs += WEIGHT * (durationMs - this.#averageMs);
  }

  /** Estimated time until a queue slot frees up, in milliseconds. */
  retryAfterMs(waiting: number, concurrency: number): number {
    // Each start frees one slot, but all rejected clients compete for it.
    const drained = this.#averageMs * Math.max(1, waiting / 2) / Math.max(1, concurrency);
    return Math.round(Math.min(LONGEST_MS, Math.max(SHORTEST_MS, drained)));
  }
}
