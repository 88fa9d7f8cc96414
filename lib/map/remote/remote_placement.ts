/**
 * Runs the jobs of a map on nodes of the network: finds them, and offers each as many jobs as it keeps up with.
 *
 * @module
 */
import type { JobEvent } from "../../core/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import { type RemoteCandidate, runOnPeers } from "../../remote/client/mod.ts";
import { jobDialer } from "../../remote/libp2p/mod.ts";
import type { MapNode, MapNodeOptions, PlacedJob, PlacedResult, Placement } from "../placement.ts";
import { NodeSearch, type NodeSearchOptions } from "./node_search.ts";
import { copyOutput, outputLimitOf, remoteJobOf } from "./placed_remote_job.ts";

/** Most jobs of a node at the same time, for each of its cores: some are transferred while others run. */
const JOBS_PER_CORE = 4;

/** Options of {@linkcode RemotePlacement}. Disposing the placement stops the network. */
export interface RemotePlacementOptions extends NodeSearchOptions {
  /** Most jobs of a node at the same time. @default {4 for each of its cores} */
  jobs?: number | undefined;
}

/** Nodes of the network. */
export class RemotePlacement implements Placement {
  readonly #options: RemotePlacementOptions;
  readonly #dial: ReturnType<typeof jobDialer>;
  readonly #nodes: RemoteNode[] = [];
  readonly #search: NodeSearch;
  onChange: (() => void) | undefined;

  /** Starts to search. */
  constructor(options: RemotePlacementOptions) {
    const { network, jobs } = options;
    this.#options = options;
    this.#dial = jobDialer(network);
    this.#search = new NodeSearch(options, {
      onNode: (candidate) => {
        this.#nodes.push(new RemoteNode(candidate, { network, dial: this.#dial, jobs }));
        this.onChange?.();
      },
      onRound: () => this.onChange?.(),
    });
  }

  get nodes(): readonly MapNode[] {
    return this.#nodes;
  }

  /** Whether the first search has not ended. */
  get isSearching(): boolean {
    return this.#search.isFirst;
  }

  /** Stops the search and the network. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#search[Symbol.asyncDispose]();
    await this.#options.network.stop();
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
      maxOutputBytes: outputLimitOf(job),
      onEvent: (event: JobEvent) => {
        if (event.type === "queued" && (event.position ?? 0) > 0) wasQueued = true;
      },
      recordOutcome: (peerId, outcome) => network.recordOutcome(peerId, outcome),
    });
    // The receipt has been verified with this output.
    try {
      return { ...await copyOutput(result, output), wasQueued };
    } finally {
      result.output[Symbol.dispose]();
    }
  }
}
