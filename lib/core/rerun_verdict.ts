/**
 * Compares the claim of a receipt with the claim of a new run of the same job.
 *
 * @module
 */
import { type ClaimDifference, findClaimDifference } from "./claim_difference.ts";
import type { Claim, JobStatus, Receipt } from "./types.gen.ts";

/**
 * Verdict of a new run. `reproduced`: it gave the same claim. `different`: it gave another one, though nothing that the
 * job used can explain it. `not-reproducible`: it gave another one, and the job depends on more than its inputs.
 */
export type RerunOutcome = "reproduced" | "different" | "not-reproducible";

/** Verdict of a new run, and its reason. */
export interface RerunVerdict {
  /** The verdict. */
  outcome: RerunOutcome;
  /** First difference of the claims: `first` is the receipt's, `second` the new run's. */
  difference: ClaimDifference | undefined;
  /**
   * What the result can depend on besides module, manifest and inputs, sorted: the sources of nondeterminism that a
   * run used, such as `clock`, and statuses that depend on the node, such as `timeout`.
   */
  sources: string[];
}

/** Result of `rerun`. */
export interface RerunResult extends RerunVerdict {
  /** Position of the first byte of the output that differs; undefined if it is not known. */
  byte: number | undefined;
  /** Receipt of the new run; undefined if the receipt is of a job that did not run to an end. */
  receipt: Receipt | undefined;
}

/** Statuses that depend on the node: its speed, its memory, its ceilings, its operator. */
const NODE_STATUSES: ReadonlySet<JobStatus> = new Set<JobStatus>([
  "timeout",
  "memory",
  "output",
  "cancelled",
  "rejected",
]);

/**
 * Whether a job's end depends on the node. In the default profile a trap does: an exhausted stack is one, and its depth
 * differs between engines. In the deterministic profile that is status `memory`.
 */
export function dependsOnNode({ status, profile }: Claim): boolean {
  return NODE_STATUSES.has(status) || (status === "trapped" && profile === "default");
}

/** Statuses of jobs that were not run to an end; running them again shows nothing. */
export function isUnfinished(status: JobStatus): boolean {
  return status === "cancelled" || status === "rejected";
}

/**
 * Compares the claim of a receipt with that of a new run.
 *
 * @example
 * ```ts
 * import { compareRuns } from "@plasm/plasm/verify";
 * import { assertEquals } from "@std/assert";
 *
 * const { receipt } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const claim = { ...receipt.claim, nondeterminism: [] };
 * const { outcome, difference } = compareRuns(claim, { ...claim, exit_code: 9 });
 * assertEquals(outcome, "different");
 * assertEquals(difference?.field, "exit_code");
 * ```
 */
export function compareRuns(claim: Claim, rerun: Claim): RerunVerdict {
  const difference = findClaimDifference(claim, rerun);
  const runs = [claim, rerun];
  // Up to its first use of a source a job depends on its inputs only, so that either both runs reach it or none. A
  // source in one claim alone explains nothing: one of the claims is false.
  const used = runs.every(({ nondeterminism }) => nondeterminism.length > 0)
    ? runs.flatMap(({ nondeterminism }) => nondeterminism)
    : [];
  const statuses = runs.filter(dependsOnNode).map(({ status }) => status);
  const sources = [...new Set<string>([...used, ...statuses])].sort();
  if (difference === undefined) return { outcome: "reproduced", difference, sources };
  const outcome = sources.length > 0 ? "not-reproducible" : "different";
  return { outcome, difference, sources };
}
