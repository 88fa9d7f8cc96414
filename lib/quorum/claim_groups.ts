/**
 * Groups the results of one job by their claims, and finds claims that contradict each other.
 *
 * @module
 */
import { claimHash, compareRuns, dependsOnNode, type Receipt } from "../core/mod.ts";
import type { RemoteResult } from "../remote/client/mod.ts";
import { nodeClass } from "./node_selection.ts";

/** Results with one claim. */
export interface ClaimGroup {
  /** Hash of the claim. */
  hash: string;
  /** Receipts in the order in which they arrived, one for each node. */
  receipts: Receipt[];
  /** The first result; its output is that of all. */
  result: RemoteResult;
}

/** Reports whether a result can agree or disagree with others: how the job ended does not depend on the node. */
export function countsAsClaim({ claim }: Receipt): boolean {
  return !dependsOnNode(claim);
}

/**
 * Reports whether one of two receipts of a job must be false: nothing that the job used explains the difference, nor, in
 * the default profile, does the architecture or the engine.
 */
export function contradicts(first: Receipt, second: Receipt): boolean {
  if (compareRuns(first.claim, second.claim).outcome !== "different") return false;
  return first.claim.profile === "deterministic" ||
    nodeClass(first.run.runtime) === nodeClass(second.run.runtime);
}

/** Claims of one job. */
export class ClaimGroups {
  readonly #groups = new Map<string, ClaimGroup>();

  /** All groups, the largest first. */
  get all(): ClaimGroup[] {
    return [...this.#groups.values()].toSorted((a, b) => b.receipts.length - a.receipts.length);
  }

  /** Number of nodes that agree; 0 without results. */
  get largest(): number {
    return this.all[0]?.receipts.length ?? 0;
  }

  /** Adds a result. The output of a claim that is known is deleted. */
  async add(result: RemoteResult): Promise<ClaimGroup> {
    const hash = await claimHash(result.receipt.claim);
    const group = this.#groups.get(hash);
    if (group === undefined) {
      const added = { hash, receipts: [result.receipt], result };
      this.#groups.set(hash, added);
      return added;
    }
    group.receipts.push(result.receipt);
    result.output[Symbol.dispose]();
    return group;
  }

  /** All receipts that counted. */
  get receipts(): Receipt[] {
    return this.all.flatMap(({ receipts }) => receipts);
  }

  /** Deletes all outputs. */
  dispose(): void {
    for (const { result } of this.all) result.output[Symbol.dispose]();
  }
}
