/**
 * How fast jobs go through, to tell a refused client when to come back.
 * @module
 */

// Each job moves the average by a fifth: a few jobs are enough to follow a change.
const WEIGHT = 0.2;

// Bounds of what is told: below, a retry would only add load; above, a guess is worth nothing.
const SHORTEST_MS = 1000;
const LONGEST_MS = 60_000;

/** Running average of how long jobs run. */
export class RetryAfterEstimator {
  #averageMs = SHORTEST_MS;

  /** Counts a job that has ended, after so many milliseconds. */
  add(durationMs: number): void {
    this.#averageMs += WEIGHT * (durationMs - this.#averageMs);
  }

  /** When a place in the queue is likely to be free, in milliseconds. */
  retryAfterMs(waiting: number, concurrency: number): number {
    // One place comes free with each job that starts, but all who were refused want it.
    const drained = this.#averageMs * Math.max(1, waiting / 2) / Math.max(1, concurrency);
    return Math.round(Math.min(LONGEST_MS, Math.max(SHORTEST_MS, drained)));
  }
}
