/**
 * Quorum: several nodes run one job, and their claims are compared.
 *
 * @module
 */
export { AUDIT_FILE, AuditLedger, type AuditRecord } from "./audit_ledger.ts";
export { type ClaimGroup, contradicts, countsAsClaim } from "./claim_groups.ts";
export {
  arbitrate,
  type Arbitration,
  type Contradiction,
  createEvidence,
  type Evidence,
  evidenceOf,
  MAX_EVIDENCE_BYTES,
  parseEvidence,
  type VerifiedEvidence,
  verifyEvidence,
} from "./evidence.ts";
export { listEvidence, readEvidence, saveEvidence, type StoredEvidence } from "./evidence_store.ts";
export { networkPrefix } from "./network_prefix.ts";
export { type QuorumCandidate, type UnusedNode } from "./node_selection.ts";
export {
  MAX_QUORUM_NODES,
  outcomeJson,
  quorumError,
  quorumLimit,
  type QuorumOptions,
  type QuorumOutcome,
  type QuorumRun,
  type QuorumSize,
  runQuorum,
} from "./run_quorum.ts";
export { runAgreed } from "./run_agreed.ts";
export { recordStanding } from "./standing.ts";
