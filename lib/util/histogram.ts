/**
 * Records durations as a Prometheus histogram.
 *
 * @module
 */

/** Bucket bounds in seconds: from an empty job in a warm executor to an hour. */
const BOUNDS: readonly number[] = [
  0.005,
  0.01,
  0.025,
  0.05,
  0.1,
  0.25,
  0.5,
  1,
  2.5,
  5,
  10,
  30,
  60,
  300,
  3600,
];

/** Histogram of durations in seconds. */
export class Histogram {
  readonly #counts = new Array<number>(BOUNDS.length + 1).fill(0);
  #sum = 0;

  /** Records one value. */
  add(seconds: number): void {
    const at = BOUNDS.findIndex((bound) => seconds <= bound);
    const bucket = at < 0 ? BOUNDS.length : at;
    this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
    this.#sum += seconds;
  }

  /** Lines of the Prometheus text exposition format. */
  lines(name: string): string[] {
    let total = 0;
    const buckets = [...BOUNDS.map(String), "+Inf"].map((bound, at) => {
      total += this.#counts[at] ?? 0;
      return `${name}_bucket{le="${bound}"} ${total}`;
    });
    return [...buckets, `${name}_sum ${this.#sum}`, `${name}_count ${total}`];
  }
}
