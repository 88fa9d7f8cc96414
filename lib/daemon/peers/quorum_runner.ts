/**
 * Runs a local user's job on several nodes that must agree.
 *
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Receipt } from "../../core/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import {
  type AuditLedger,
  evidenceOf,
  outcomeJson,
  quorumError,
  recordStanding,
  runQuorum,
  saveEvidence,
} from "../../quorum/mod.ts";
import { findQuorumNodes } from "../../quorum/network/mod.ts";
import type { RemoteJob, RemoteResult, RunOnPeersOptions } from "../../remote/client/mod.ts";
import type { JobTarget } from "../store/mod.ts";
import { withoutBanned } from "./banned_nodes.ts";

/** Options of {@linkcode runOnQuorum}. */
export interface QuorumRunnerOptions
  extends Pick<RunOnPeersOptions, "dial" | "nonce" | "maxOutputBytes" | "maxFilesBytes"> {
  network: PlasmNetwork;
  ledger: AuditLedger;
  stateDir: string;
  log: Logger;
  signal: AbortSignal;
  target: JobTarget & { agree: number };
}

/** Result on which the nodes agree. */
export interface QuorumRunnerResult
  extends Pick<RemoteResult, "receipt" | "message" | "backtrace" | "leftBehind" | "output"> {
  /** Receipts of the other nodes that agree. */
  otherReceipts: Receipt[];
  /** Resolves when the cancelled nodes have been notified. */
  settled: Promise<void>;
}

/**
 * Runs a job on several nodes, saves evidence if any contradict each other, and returns the result of those that agree.
 *
 * @throws {PlasmError} `bad-receipt` if they disagree; `no-peer`; as `runQuorum`
 */
export async function runOnQuorum(
  job: RemoteJob,
  options: QuorumRunnerOptions,
): Promise<QuorumRunnerResult> {
  const { network, ledger, target, signal, dial, nonce, maxOutputBytes, maxFilesBytes } = options;
  const { agree, nodes, same_network: sameNetwork, arch, min_memory_mb: minMemoryMb } = target;
  const recordOutcome = (peerId: string, outcome: { ok: boolean }): void =>
    network.recordOutcome(peerId, outcome);
  const outcome = await runQuorum(job, {
    agree,
    nodes,
    sameNetwork,
    dial,
    nonce,
    signal,
    maxOutputBytes,
    maxFilesBytes,
    candidates: (signal) =>
      withoutBanned(
        findQuorumNodes(network, {
          resources: job.manifest.resources,
          module: job.module,
          arch,
          minMemoryMb,
          signal,
        }),
        { ledger, isNamed: false },
      ),
    recordOutcome,
  });
  const receipts = outcome.groups.flatMap((group) => group.receipts);
  const evidence = await saveContradiction(receipts, options);
  const error = quorumError(outcome);
  const accepted = outcome.groups[0];
  if (error !== undefined || accepted === undefined) {
    outcome[Symbol.dispose]();
    await outcome.settled;
    throw withoutReceipts(error!, outcomeJson(outcome), evidence);
  }
  recordStanding(receipts, accepted.receipts[0]!, recordOutcome);
  for (const { result } of outcome.groups.slice(1)) result.output[Symbol.dispose]();
  const otherReceipts = accepted.receipts.filter((one) => one !== accepted.result.receipt);
  return { ...accepted.result, otherReceipts, settled: outcome.settled };
}

async function saveContradiction(
  receipts: readonly Receipt[],
  { stateDir, log }: QuorumRunnerOptions,
): Promise<string | undefined> {
  const evidence = await evidenceOf(receipts);
  if (evidence === undefined) return undefined;
  try {
    const path = await saveEvidence(stateDir, evidence);
    const nodes = receipts.map(({ run }) => run.node.peer_id);
    log.warning("quorum-disagreement", { peers: nodes, evidence: path });
    return path;
  } catch (error) {
    log.error("evidence-not-saved", { error: PlasmError.from(error) });
    return undefined;
  }
}

/** The error without the receipts, which the evidence has: a stored job has no space for them. */
function withoutReceipts(
  { code, message, hint }: PlasmError,
  outcome: ReturnType<typeof outcomeJson>,
  evidence: string | undefined,
): PlasmError {
  const nodes = outcome.nodes.map(({ receipt: _receipt, ...node }: Record<string, unknown>) =>
    node
  );
  return new PlasmError(code, message, {
    hint: evidence === undefined ? hint : `Run plasm verify ${evidence} on the daemon's machine`,
    details: { ...outcome, nodes, ...evidence === undefined ? {} : { evidence } },
  });
}
