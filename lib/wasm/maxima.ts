/**
 * Shares a cap out among memories or tables, and states each one's part as its maximum.
 * @module
 */
import { type LimitsField, writeLimits } from "./limits_field.ts";
import type { Edit } from "./patch.ts";

/** Options of {@linkcode shareMaxima}. */
export interface ShareOptions {
  /** What all may have together, no less than their initial sizes together. */
  cap: bigint;
  /** The largest maximum that a memory or table with 32-bit addresses may state. */
  most32: bigint;
}

/**
 * Shares out what a cap leaves: each gets its initial size and an equal part of the rest, never more
 * than its own maximum. All maxima together stay under the cap, whatever grows first.
 */
export function shareMaxima(all: readonly LimitsField[], options: ShareOptions): bigint[] {
  const taken = all.reduce((sum, { initial }) => sum + initial, 0n);
  const share = all.length === 0 ? 0n : (options.cap - taken) / BigInt(all.length);
  return all.map(({ initial, maximum, is64 }) => {
    const most = [initial + share, ...is64 ? [] : [options.most32]];
    if (maximum !== undefined) most.push(maximum);
    return most.reduce((least, one) => one < least ? one : least);
  });
}

/** The edits that give each of `all` its new maximum, where it differs from its own. */
export function maximaEdits(all: readonly LimitsField[], maxima: readonly bigint[]): Edit[] {
  return all.flatMap((limits, index) => {
    const maximum = maxima[index]!;
    if (limits.maximum === maximum) return [];
    return [{ start: limits.start, end: limits.end, bytes: writeLimits(limits, maximum) }];
  });
}
