/**
 * Runs local users' jobs on peers: discovery, transfer and verification.
 * @module
 */
import type { NetworkConfig } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { getLog } from "../../core/log/mod.ts";
import { ephemeralIdentity } from "../../core/mod.ts";
import { createNetwork, type PlasmNetwork } from "../../p2p/mod.ts";
import { bytesSource, type DialJobOptions, runOnPeers } from "../../remote/client/mod.ts";
import { findCandidates, jobDialer } from "../../remote/libp2p/mod.ts";
import type { ByteStream } from "../../remote/wire/mod.ts";
import type { AuditLedger } from "../../quorum/mod.ts";
import type { RunOnPeer } from "../jobs/mod.ts";
import type { Auditor } from "./auditor.ts";
import { withoutBanned } from "./banned_nodes.ts";
import { runOnQuorum } from "./quorum_runner.ts";

/** Maximum output if the manifest sets no lower limit, in bytes. */
const MAX_OUTPUT_BYTES = 2 ** 30;

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
  /** Current allowlist and denylist. */
  lists: () => PeerLists;
  /** Bans nodes and decides which results are audited. */
  ledger: AuditLedger;
  auditor: Pick<Auditor, "consider">;
  /** Directory for evidence. */
  stateDir: string;
}

type DialArguments = Parameters<AnonymousClient["dial"]>;

/** Runs jobs on nodes of a network; yields output once it is verified. */
export function peerRunner(
  network: PlasmNetwork,
  { lists, ledger, auditor, stateDir }: PeerRunnerOptions,
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
    await using anonymous = new AnonymousClient(network, lists());
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
      signal,
    });
    const common = {
      dial: target.as_node ? jobDialer(network) : (...to: DialArguments) => anonymous.dial(...to),
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
          candidates: withoutBanned(target.as_node ? found : anonymous.startWhile(found), {
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
    // The anonymous client notifies the nodes that are cancelled.
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

/** Connectivity of an outbound-only node. */
const NO_NAT = { autonat: false, relay: false, relayServer: false };

/** Allowlist and denylist of the node, and the private addresses that it dials. */
export interface PeerLists {
  allow: readonly string[];
  deny: readonly string[];
  private_addresses: NetworkConfig["private_addresses"];
}

/** Separate anonymous libp2p client. */
export class AnonymousClient implements AsyncDisposable {
  readonly #node: PlasmNetwork;
  readonly #lists: PeerLists;
  #own: Promise<PlasmNetwork> | undefined;

  /** @param node Resolves the addresses of peers. */
  constructor(node: PlasmNetwork, lists: PeerLists) {
    this.#node = node;
    this.#lists = lists;
  }

  /** Starts the client during a search: the time that a node has to answer must not include the start. */
  async *startWhile<T>(search: AsyncIterable<T>): AsyncGenerator<T> {
    const starting = this.#start();
    starting.catch(() => {}); // dial() reports it
    for await (const found of search) {
      await starting;
      yield found;
    }
  }

  #start(): Promise<PlasmNetwork> {
    return this.#own ??= start(this.#lists);
  }

  /** Opens a job stream; the first call starts the client. */
  async dial(peerId: string, options: DialJobOptions): Promise<ByteStream> {
    const own = await this.#start();
    await own.addAddresses(peerId, await this.#node.peerAddresses(peerId));
    return await jobDialer(own)(peerId, options);
  }

  /** Stops the client and closes its connections. */
  async [Symbol.asyncDispose](): Promise<void> {
    // A failed start has nothing to stop; dial() reported it.
    const own = await this.#own?.catch(() => undefined);
    await own?.stop();
  }
}

async function start(
  { allow, deny, private_addresses: privateAddresses }: PeerLists,
): Promise<PlasmNetwork> {
  const identity = await ephemeralIdentity();
  const mode = "client";
  return await createNetwork({ identity, mode, nat: NO_NAT, allow, deny, privateAddresses });
}
