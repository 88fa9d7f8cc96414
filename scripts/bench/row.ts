/**
 * What a section of the benchmarks gives: rows of a table, each with the figure, what it was measured
 * against in the same run, and the ratio of the two, which is what holds on another machine.
 *
 * @module
 */

/** One line of the table. */
export interface BenchRow {
  /** What was measured: "hash loop", "warm hello, p50". */
  what: string;
  /** The figure with its unit: "0.91 s", "512 jobs/s". */
  measured: string;
  /** What it is compared with, and that one's figure: "bare V8 0.90 s". */
  against?: string;
  /** Measured / against, where both are times of the same work. */
  ratio?: number;
  /** What must be reached: "≤ 1.05", "≥ 1 GB/s". */
  goal?: string;
}

/** A section: yields its rows as they are found, and cleans up what it started when it is aborted. */
export type BenchSection = (options: BenchSectionOptions) => AsyncIterable<BenchRow>;

/** What a section is told. */
export interface BenchSectionOptions {
  /** The compiled binary; without it the command line runs from source. */
  binary?: string;
  /** Ends the section early. */
  signal: AbortSignal;
}

/** The middle of the values; of an even number, the upper of the two. */
export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** The value below which `percent` of the values lie. NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * percent / 100))] ?? NaN;
}
