/**
 * Decides when failures stop a map.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { escapeText } from "../util/mod.ts";

/** Failures without a success after which a map stops by default: a wrong option fails every item. */
export const DEFAULT_FAILURES = 20;

/** Least number of items before a percentage stops a map: one of two is no sign yet. */
const MIN_COUNTED = 3;

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

function itemsText(count: number): string {
  return count === 1 ? "1 item" : `${count} items`;
}

/** What a rule counts, and how its reason names it. */
const COUNTED: Readonly<
  Record<string, { count: (counts: MapCounts) => number; ended: string; limit: string }>
> = {
  fail: { count: ({ failed }) => failed, ended: "failed", limit: "less than" },
  success: { count: ({ done, failed }) => done - failed, ended: "succeeded", limit: "up to" },
  done: { count: ({ done }) => done, ended: "ended", limit: "up to" },
};

/**
 * Parses the value of `--halt`: `never`, or `now` or `soon` with `fail=N`, `success=N`, `done=N`, `fail=N%` or
 * `success=N%`.
 *
 * @throws {PlasmError} `usage`
 */
export function parseHalt(text: string): HaltRule {
  if (text === "never") return NEVER;
  const pattern = /^(now|soon),(fail|success|done)=([1-9]\d{0,8})(%?)$/;
  const [, when, what = "", digits, percent] = pattern.exec(text) ?? [];
  const value = Number(digits);
  if (when === undefined || (percent === "%" && (value > 100 || what === "done"))) {
    throw new PlasmError("usage", `Cannot use ${escapeText(text)}: it is not a rule`, {
      hint:
        "Use never, or soon or now with fail=N, success=N, done=N, fail=N% or success=N%, as in " +
        "now,fail=1",
    });
  }
  const isNow = when === "now";
  const { count, ended, limit } = COUNTED[what]!;
  if (percent === "") {
    return {
      isNow,
      isReached: (counts) => count(counts) >= value,
      reason: (counts) => `${itemsText(count(counts))} ${ended}, --halt allows ${limit} ${value}`,
    };
  }
  return {
    isNow,
    isReached: (counts) =>
      count(counts) >= MIN_COUNTED && 100 * count(counts) >= value * counts.done,
    reason: (counts) =>
      `${count(counts)} of ${counts.done} items ${ended}, --halt allows ${limit} ${value} %`,
  };
}
