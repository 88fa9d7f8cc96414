/**
 * Runs local users' jobs on peers: discovery, transfer and verification.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { getLog } from "../../core/log/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import { bytesSource, runOnPeers } from "../../remote/client/mod.ts";
import { findCandidates, jobDialer } from "../../remote/libp2p/mod.ts";
import type { AuditLedger } from "../../quorum/mod.ts";
import type { RunOnPeer } from "../jobs/mod.ts";
import type { AnonymousPool } from "./anonymous_pool.ts";
import type { Auditor } from "./auditor.ts";
import { withoutBanned } from "./banned_nodes.ts";
import { runOnQuorum } from "./quorum_runner.ts";

/** Maximum output if the manifest sets no lower limit, in bytes. */
const MAX_OUTPUT_BYTES = 2 ** 30;

/** Age up to which an answer of a node spares a search, in milliseconds; a node that has failed since is left out. */
const RECENT_MS = 5 * 60_000;

/** Derives a signal whose abort reason is the error that the protocol requires. */
function interruptedBy(stop: AbortSignal): AbortSignal {
  const interrupted = new AbortController();
  const onStop = (): void =>
    interrupted.abort(new PlasmError("interrupted", "The job was cancelled"));
  if (stop.aborted) onStop();
  else stop.addEventListener("abort", onStop, { once: true });
  return interrupted.signal;
}

/** Options of {@linkcode peerRunner}. */
export interface PeerRunnerOptions {
  /** Clients for the jobs that do not use the node's key. */
  anonymous: AnonymousPool;
  /** Bans nodes and decides which results are audited. */
  ledger: AuditLedger;
  auditor: Pick<Auditor, "consider">;
  /** Directory for evidence. */
  stateDir: string;
}

/** Runs jobs on nodes of a network; yields output once it is verified. */
export function peerRunner(
  network: PlasmNetwork,
  { anonymous, ledger, auditor, stateDir }: PeerRunnerOptions,
): RunOnPeer {
  return async function* (
    { id, manifest, nonce, target },
    { module, stdin, inputs, signal: stop },
  ) {
    const signal = interruptedBy(stop);
    const sources = new Map(
      await Promise.all(
        Object.values(inputs).filter((data) => data.length > 0).map(async (data) => {
          const source = await bytesSource(data);
          return [source.hash, source] as const;
        }),
      ),
    );
    await using client = target.as_node ? undefined : anonymous.client(network);
    const { resources } = manifest;
    const { peer, arch, min_memory_mb: minMemoryMb, attempts, agree } = target;
    const job = {
      manifest,
      module: await bytesSource(module),
      stdin: await bytesSource(stdin),
      inputs: [...sources.values()],
    };
    const found = findCandidates(network, {
      peer,
      arch,
      minMemoryMb,
      attempts,
      resources,
      module: job.module,
      maxAgeMs: RECENT_MS,
      signal,
    });
    const common = {
      dial: client?.dial ?? jobDialer(network),
      nonce,
      signal,
      maxOutputBytes: resources.output_bytes ?? MAX_OUTPUT_BYTES,
      maxFilesBytes: resources.output_files_bytes ?? MAX_OUTPUT_BYTES,
    };
    const result = agree === undefined
      ? {
        otherReceipts: undefined,
        settled: undefined,
        ...await runOnPeers(job, {
          ...common,
          candidates: withoutBanned(client?.startWhile(found) ?? found, {
            ledger,
            isNamed: peer !== undefined,
          }),
          isSole: peer !== undefined,
          attempts,
          recordOutcome: (peerId, outcome) => network.recordOutcome(peerId, outcome),
        }),
      }
      : await runOnQuorum(job, {
        ...common,
        network,
        ledger,
        stateDir,
        log: getLog("network"),
        target: { ...target, agree },
      });
    // The client notifies the nodes that are cancelled.
    await result.settled;
    const { receipt, message, backtrace, leftBehind, otherReceipts } = result;
    using verified = result.output;
    for (const type of ["stderr", "stdout", "files"] as const) {
      for await (const data of verified.read(type)) yield { type, data };
    }
    const { status, exit_code: exitCode, fuel, nondeterminism } = receipt.claim;
    const { usage, started_at, finished_at } = receipt.run;
    const outcome = {
      status,
      exitCode,
      fuel,
      nondeterminism,
      ...(message === null ? {} : { message }),
      backtrace,
      leftBehind,
      usage: {
        wallTimeMs: usage.wall_time_ms,
        cpuTimeMs: usage.cpu_time_ms,
        memoryPeakBytes: usage.memory_peak_bytes,
      },
      startedAt: Date.parse(started_at),
      finishedAt: Date.parse(finished_at),
    };
    auditor.consider(id, [receipt, ...otherReceipts ?? []], stdin);
    yield { type: "finished", outcome, receipt, otherReceipts };
  };
}
