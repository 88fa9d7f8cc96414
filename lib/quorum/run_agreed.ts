/**
 * Public API of quorums: runs a job on several nodes that must agree, and verifies evidence against nodes that do not.
 *
 * @module
 */
import type { Receipt } from "../core/mod.ts";
import type { RemoteJobResult, RunRemoteJobOptions } from "../remote/mod.ts";
import type { Evidence } from "./evidence.ts";

export {
  arbitrate,
  type Arbitration,
  type Contradiction,
  createEvidence,
  type Evidence,
  parseEvidence,
  type VerifiedEvidence,
  verifyEvidence,
} from "./evidence.ts";

/** Options of {@linkcode runAgreed}. */
export interface RunAgreedOptions extends Omit<RunRemoteJobOptions, "peer" | "attempts"> {
  /** Number of nodes that must return the same claim, at least 2. */
  agree: number;
  /** Number of nodes that start together. @default {agree} */
  nodes?: number | undefined;
  /** Whether nodes may be in one network, an IPv4 /24 or an IPv6 /48. @default {false} */
  sameNetwork?: boolean | undefined;
}

/** What one node returned. */
export interface AgreedNode {
  /** Peer id of the node. */
  peerId: string;
  /**
   * `agreed`: it has the claim of the result. `differs`: it returned another. `inconclusive`: how its run ended depends on
   * the node, such as a timeout. `failed`: it returned no valid result. `cancelled`: it was not waited for.
   */
  outcome: "agreed" | "differs" | "inconclusive" | "failed" | "cancelled";
  /** Its verified receipt; absent without a result. */
  receipt?: Receipt | undefined;
  /** Error code; absent with a result. */
  errorCode?: string | undefined;
}

/** Result on which enough nodes agree. */
export interface AgreedJobResult
  extends Pick<RemoteJobResult, "stdout" | "stderr" | "outputs" | "manifest"> {
  /** Receipts with the same claim, one for each node that agrees. */
  receipts: Receipt[];
  /** All nodes that were asked. */
  nodes: AgreedNode[];
  /** Receipts that contradict the result; undefined if there are none. */
  evidence: Evidence | undefined;
}

/**
 * Runs a module on several nodes with distinct keys and networks, and returns the result on which enough of them agree.
 * At most `agree` + 2 or `nodes` nodes run the job, whichever is more; nodes that are not needed are cancelled.
 *
 * Without the deterministic profile honest nodes may return different claims.
 *
 * @throws {PlasmError} `bad-receipt` if nodes disagree: `details.nodes` has all receipts, and `details.evidence` those
 * that contradict each other; `no-peer` if too few nodes are found; as `runRemoteJob`
 *
 * @example
 * ```ts
 * import { runAgreed } from "@plasm/plasm/quorum";
 * import { assertRejects } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * // On a network, `bootstrap` has the multiaddr of any node.
 * await assertRejects(
 *   () => runAgreed(module, { agree: 2, nodes: 3, profile: "deterministic" }),
 *   Error,
 *   "no bootstrap node",
 * );
 * ```
 */
export async function runAgreed(
  module: Uint8Array,
  options: RunAgreedOptions,
): Promise<AgreedJobResult> {
  const { abortError, errorOf, PlasmError } = await import("../core/errors/mod.ts");
  const { bootstrap = [], signal, agree, nodes, sameNetwork, onEvent } = options;
  if (signal?.aborted) throw abortError(signal);
  if (bootstrap.length === 0) {
    throw new PlasmError("usage", "Cannot find nodes: no bootstrap node", {
      hint: "Set bootstrap",
    });
  }
  // Loaded before every other module that imports libp2p: see lib/p2p/patches/hidden_environment.ts.
  const { createNetwork } = await import("../p2p/mod.ts");
  const { ephemeralIdentity, parseArch } = await import("../core/mod.ts");
  const { describeRemoteJob, memoryOutputLimits, readRemoteOutput } = await import(
    "../remote/mod.ts"
  );
  const { jobDialer } = await import("../remote/libp2p/mod.ts");
  const { findQuorumNodes } = await import("./network/mod.ts");
  const { evidenceOf } = await import("./evidence.ts");
  const { quorumError, quorumLimit, runQuorum } = await import("./run_quorum.ts");
  const { recordStanding } = await import("./standing.ts");
  quorumLimit({ agree, nodes });
  const { arch, minMemoryMb } = options.criteria ?? {};
  const criteria = { arch: arch === undefined ? undefined : parseArch(arch), minMemoryMb };
  const job = await describeRemoteJob(module, options);
  const network = await createNetwork({
    identity: options.identity ?? await ephemeralIdentity(),
    bootstrap,
    mode: "client",
  });
  const recordOutcome = (peerId: string, outcome: { ok: boolean }): void =>
    network.recordOutcome(peerId, outcome);
  try {
    using outcome = await runQuorum(job, {
      agree,
      nodes,
      sameNetwork,
      dial: jobDialer(network),
      candidates: (signal) =>
        findQuorumNodes(network, {
          resources: job.manifest.resources,
          module: job.module,
          ...criteria,
          signal,
        }),
      signal,
      ...memoryOutputLimits(job.manifest),
      onEvent,
      recordOutcome,
    });
    try {
      const all = outcome.groups.flatMap(({ receipts }) => receipts);
      const evidence = await evidenceOf(all);
      const error = quorumError(outcome);
      if (error !== undefined) {
        const { code, message, hint, details } = error;
        throw new PlasmError(code, message, {
          hint,
          details: { ...details, ...evidence === undefined ? {} : { evidence: { ...evidence } } },
        });
      }
      const { receipts, result } = outcome.groups[0]!;
      recordStanding(all, receipts[0]!, recordOutcome);
      return {
        ...await readRemoteOutput(result.output, job.manifest),
        manifest: job.manifest,
        receipts,
        evidence,
        nodes: outcome.runs.map(({ peerId, outcome, receipt, error }) => ({
          peerId,
          outcome,
          ...receipt === undefined ? {} : { receipt },
          ...error === undefined ? {} : { errorCode: error.code },
        })),
      };
    } finally {
      await outcome.settled;
    }
  } catch (error) {
    throw errorOf(error, signal);
  } finally {
    await network.stop();
  }
}
