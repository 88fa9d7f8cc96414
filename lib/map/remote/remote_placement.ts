/**
 * Runs the jobs of a map on nodes of the network: finds them, and offers each as many jobs as it keeps up with.
 *
 * @module
 */
import { EMPTY_HASH, type JobEvent, type Resources } from "../../core/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import {
  bytesSource,
  type RemoteCandidate,
  type RemoteJob,
  runOnPeers,
} from "../../remote/client/mod.ts";
import { findCandidates, jobDialer } from "../../remote/libp2p/mod.ts";
import { delay } from "../../util/async/mod.ts";
import type { MapNode, MapNodeOptions, PlacedJob, PlacedResult, Placement } from "../placement.ts";

/** Nodes that a search looks for, in attempts of one job: enough for a small network. */
const SEARCH_ATTEMPTS = 16;

/** Most nodes of one map. */
const MAX_NODES = 64;

/** Pause between two searches, in milliseconds: nodes join while a map runs. */
const SEARCH_INTERVAL_MS = 30_000;

/** Most jobs of a node at the same time, for each of its cores: some are transferred while others run. */
const JOBS_PER_CORE = 4;

/** Maximum size of the output of a job whose manifest has no limit, in bytes. */
const MAX_OUTPUT_BYTES = 2 ** 30;

/** Options of {@linkcode RemotePlacement}. */
export interface RemotePlacementOptions {
  /** The network; disposing the placement stops it. */
  network: PlasmNetwork;
  /** Resources that the jobs ask for. */
  resources: Resources;
  /** Module of the jobs. */
  module: Uint8Array;
  /** Peer ids or multiaddrs of the nodes. @default {those that are found} */
  peers?: readonly string[] | undefined;
  /** CPU architecture of the nodes. @default {any} */
  arch?: string | undefined;
  /** Minimum memory limit of a node, in MiB. @default {what the jobs ask for} */
  minMemoryMb?: number | undefined;
  /** Most jobs of a node at the same time. @default {4 for each of its cores} */
  jobs?: number | undefined;
}

/** Nodes of the network. */
export class RemotePlacement implements Placement {
  readonly #options: RemotePlacementOptions;
  readonly #dial: ReturnType<typeof jobDialer>;
  readonly #nodes = new Map<string, RemoteNode>();
  readonly #stopping = new AbortController();
  readonly #searching: Promise<void>;
  #isSearching = true;
  onChange: (() => void) | undefined;

  /** Starts to search. */
  constructor(options: RemotePlacementOptions) {
    this.#options = options;
    this.#dial = jobDialer(options.network);
    this.#searching = this.#search();
  }

  get nodes(): readonly MapNode[] {
    return [...this.#nodes.values()];
  }

  /** Whether the first search has not ended. */
  get isSearching(): boolean {
    return this.#isSearching;
  }

  /** Stops the search and the network. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#searching;
    await this.#options.network.stop();
  }

  /** Searches until the placement is disposed. Never rejects. */
  async #search(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const { peers = [] } = this.#options;
      const queries = peers.length === 0 ? [undefined] : peers;
      await Promise.all(queries.map((peer) => this.#find(peer)));
      this.#isSearching = false;
      this.onChange?.();
      await delay(SEARCH_INTERVAL_MS, { signal });
    }
  }

  /** Adds the nodes that match. A search that fails finds none. */
  async #find(peer: string | undefined): Promise<void> {
    const { network, resources, module, arch, minMemoryMb } = this.#options;
    const { signal } = this.#stopping;
    const attempts = SEARCH_ATTEMPTS;
    try {
      const found = findCandidates(network, {
        peer,
        resources,
        module: { read: (at, length) => module.subarray(at, at + length) },
        arch,
        minMemoryMb,
        attempts,
        signal,
      });
      for await (const candidate of found) {
        if (this.#nodes.size >= MAX_NODES) return;
        if (this.#nodes.has(candidate.peerId)) continue;
        this.#nodes.set(candidate.peerId, this.#createNode(candidate));
        this.onChange?.();
      }
    } catch {
      // The map reports that it has no node.
    }
  }

  #createNode(candidate: RemoteCandidate): RemoteNode {
    const { network, jobs } = this.#options;
    return new RemoteNode(candidate, { network, dial: this.#dial, jobs });
  }
}

/** How a node is reached, and used. */
interface RemoteNodeOptions {
  network: PlasmNetwork;
  dial: ReturnType<typeof jobDialer>;
  jobs: number | undefined;
}

/** One node. */
class RemoteNode implements MapNode {
  readonly id: string;
  readonly window: number;
  readonly maxWindow: number;
  readonly isOwn = false;
  readonly #candidate: RemoteCandidate;
  readonly #options: RemoteNodeOptions;

  constructor(candidate: RemoteCandidate, options: RemoteNodeOptions) {
    const { cores = 1 } = candidate;
    const { jobs = JOBS_PER_CORE * cores } = options;
    this.id = candidate.peerId;
    this.window = Math.min(cores, jobs);
    this.maxWindow = jobs;
    this.#candidate = candidate;
    this.#options = options;
  }

  async run(job: PlacedJob, { output, signal }: MapNodeOptions): Promise<PlacedResult> {
    const { network, dial } = this.#options;
    let wasQueued = false;
    const result = await runOnPeers(await remoteJobOf(job), {
      dial,
      candidates: [this.#candidate],
      isSole: true,
      attempts: 1,
      signal,
      maxOutputBytes: job.manifest.resources.output_bytes ?? MAX_OUTPUT_BYTES,
      onEvent: (event: JobEvent) => {
        if (event.type === "queued" && (event.position ?? 0) > 0) wasQueued = true;
      },
      recordOutcome: (peerId, outcome) => network.recordOutcome(peerId, outcome),
    });
    // The receipt has been verified with this output.
    try {
      let receivedBytes = 0;
      for (const stream of ["stdout", "stderr", "files"] as const) {
        for await (const data of result.output.read(stream)) {
          receivedBytes += data.length;
          if (stream === "files") await output.addFiles(data);
          else await output.add(stream, data);
        }
      }
      const { receipt, message, backtrace, attempts } = result;
      const { claim: { status, exit_code: exitCode }, run: { usage } } = receipt;
      return {
        outcome: { status, exitCode, message: message ?? undefined, backtrace },
        receipt,
        cpuTimeMs: usage.cpu_time_ms,
        sentBytes: attempts.at(-1)?.sentBytes ?? 0,
        receivedBytes,
        wasQueued,
      };
    } finally {
      result.output[Symbol.dispose]();
    }
  }
}

/** Sources of modules, which all jobs of a map share: hashing one takes longer than a small job. */
const MODULES = new WeakMap<Uint8Array, Promise<RemoteJob["module"]>>();

async function remoteJobOf({ module, manifest, stdin, inputs }: PlacedJob): Promise<RemoteJob> {
  let source = MODULES.get(module);
  if (source === undefined) MODULES.set(module, source = bytesSource(module));
  const sources = await Promise.all(Object.values(inputs).map(bytesSource));
  const distinct = new Map(sources.map((input) => [input.hash, input]));
  distinct.delete(EMPTY_HASH);
  return {
    manifest,
    module: await source,
    stdin: await bytesSource(stdin),
    inputs: [...distinct.values()],
  };
}
