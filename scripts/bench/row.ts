/**
 * Defines the rows of a benchmark table: a figure, its baseline measured in the same run, and their ratio, which is
 * comparable across machines.
 *
 * @module
 */

/** Row of the table. */
export interface BenchRow {
  /** What was measured: "hash loop", "warm hello, p50". */
  what: string;
  /** Value and unit: "0.91 s", "512 jobs/s". */
  measured: string;
  /** Baseline and its value: "bare V8 0.90 s". */
  against?: string;
  /** Ratio of measurement to baseline, if both are times of the same work. */
  ratio?: number;
  /** Target: "≤ 1.05", "≥ 1 GB/s". */
  goal?: string;
}

/** Yields rows as they are measured; cleans up when aborted. */
export type BenchSection = (options: BenchSectionOptions) => AsyncIterable<BenchRow>;

/** Options of a section. */
export interface BenchSectionOptions {
  /** Compiled binary. @default {run from source} */
  binary?: string;
  /** Stops the section early. */
  signal: AbortSignal;
}

/** Median of the values; for an even number, the upper of the two middle ones. */
export function median(values: readonly number[]): number {
  return percentile(values, 50);
}

/** Value at a percentile (nearest rank); NaN for an empty list. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * percent / 100))] ?? NaN;
}
