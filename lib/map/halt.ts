/**
 * Decides when failures stop a map.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";

/** Failures without a success after which a map stops by default: a wrong option fails every item. */
export const DEFAULT_FAILURES = 20;

/** Least number of failures before a percentage stops a map: one of two is no sign yet. */
const MIN_FAILURES = 3;

/** Counts of a map, for {@linkcode HaltRule.isReached}. */
export interface MapCounts {
  /** Items with a result. */
  done: number;
  /** Items among them that failed. */
  failed: number;
}

/** When failures stop a map, and how. */
export interface HaltRule {
  /** Whether jobs that run are stopped, too. */
  isNow: boolean;
  /** Whether the map stops. */
  isReached(counts: MapCounts): boolean;
  /** Why the map stops. */
  reason(counts: MapCounts): string;
}

/** Stops after the first failures, unless something has succeeded. */
export const DEFAULT_HALT: HaltRule = {
  isNow: false,
  isReached: ({ done, failed }) => failed === done && failed >= DEFAULT_FAILURES,
  reason: ({ failed }) =>
    `the first ${failed} items failed; use --halt never to run all items, whatever happens`,
};

/** Runs all items. */
const NEVER: HaltRule = { isNow: false, isReached: () => false, reason: () => "" };

/**
 * Parses the value of `--halt`: `never`, or `now` or `soon` with `fail=N` or `fail=N%`.
 *
 * @throws {PlasmError} `usage`
 */
export function parseHalt(text: string): HaltRule {
  if (text === "never") return NEVER;
  const [, when, digits, percent] = /^(now|soon),fail=([1-9]\d{0,8})(%?)$/.exec(text) ?? [];
  const value = Number(digits);
  if (when === undefined || (percent === "%" && value > 100)) {
    throw new PlasmError("usage", `Cannot use ${escapeText(text)}: it is not a rule`, {
      hint: "Use never, soon,fail=N, now,fail=N, soon,fail=N% or now,fail=N%",
    });
  }
  const isNow = when === "now";
  if (percent === "") {
    return {
      isNow,
      isReached: ({ failed }) => failed >= value,
      reason: ({ failed }) => `${failed} items failed, --halt allows less than ${value}`,
    };
  }
  return {
    isNow,
    isReached: ({ done, failed }) => failed >= MIN_FAILURES && 100 * failed >= value * done,
    reason: ({ done, failed }) =>
      `${failed} of ${done} items failed, --halt allows less than ${value} %`,
  };
}
