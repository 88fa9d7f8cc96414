/**
 * Records what the outcome of a quorum says about its nodes.
 *
 * @module
 */
import type { Receipt } from "../core/mod.ts";
import { contradicts } from "./claim_groups.ts";

/** Records the outcome of a job on a node. */
export type RecordOutcome = (peerId: string, outcome: { ok: boolean }) => void;

/**
 * Records a success for each node whose receipt has the accepted claim, and a failure for each whose receipt contradicts
 * it. A difference that honest nodes can have is not recorded.
 */
export function recordStanding(
  receipts: readonly Receipt[],
  accepted: Receipt,
  record: RecordOutcome,
): void {
  const { claim_hash } = accepted.run;
  for (const receipt of receipts) {
    const { peer_id } = receipt.run.node;
    if (receipt.run.claim_hash === claim_hash) record(peer_id, { ok: true });
    else if (contradicts(accepted, receipt)) record(peer_id, { ok: false });
  }
}
