/**
 * Runs each job of a map on several nodes of the network that must agree, and finds those that lie.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import {
  contradicts,
  evidenceOf,
  type QuorumCandidate,
  quorumError,
  quorumLimit,
  type QuorumOutcome,
  type QuorumRun,
  type QuorumSize,
  recordStanding,
  runQuorum,
} from "../../quorum/mod.ts";
import { withNetworks } from "../../quorum/network/mod.ts";
import { jobDialer } from "../../remote/libp2p/mod.ts";
import { delay } from "../../util/async/mod.ts";
import { isFaultOfNode, NodeState } from "../node_state.ts";
import type {
  MapNode,
  MapNodeOptions,
  NodeSummary,
  PlacedJob,
  PlacedResult,
  Placement,
} from "../placement.ts";
import { NodeSearch, type NodeSearchOptions } from "./node_search.ts";
import { copyOutput, outputLimitOf, remoteJobOf } from "./placed_remote_job.ts";

/** Attempts of one item when too few nodes answer: those that failed have rested in between. */
const MAX_ATTEMPTS = 3;

/** Pause between two of them, in milliseconds. */
const RETRY_MS = 500;

/** Most jobs at the same time, whatever the nodes offer. */
const MAX_JOBS = 256;

/** Options of {@linkcode AgreedPlacement}. Disposing the placement stops the network. */
export interface AgreedPlacementOptions extends NodeSearchOptions {
  /** Number of nodes that must return the same claim, and of those that start. */
  quorum: QuorumSize;
  /** Whether several nodes may be in one network. @default {false} */
  sameNetwork?: boolean | undefined;
  /** Most jobs of a node at the same time. @default {one for each of its cores} */
  jobs?: number | undefined;
}

/** A node that takes part in quorums. */
interface Voter {
  candidate: QuorumCandidate;
  state: NodeState;
}

/** Nodes of the network, several for each job. To the scheduler they are one node. */
export class AgreedPlacement implements Placement, MapNode {
  readonly id = "agreed";
  readonly window = 1;
  readonly maxWindow = MAX_JOBS;
  readonly isOwn = true;
  onChange: (() => void) | undefined;
  readonly #options: AgreedPlacementOptions;
  readonly #dial: ReturnType<typeof jobDialer>;
  readonly #voters = new Map<string, Voter>();
  readonly #search: NodeSearch;
  /** Quorums whose cancelled nodes are being notified. */
  readonly #settling = new Set<Promise<void>>();

  /**
   * Starts to search.
   *
   * @throws {PlasmError} `usage` if the numbers make no quorum
   */
  constructor(options: AgreedPlacementOptions) {
    quorumLimit(options.quorum);
    const { network, jobs = Infinity } = options;
    this.#options = options;
    this.#dial = jobDialer(network);
    this.#search = new NodeSearch(options, {
      onNode: (found) => {
        const candidate = withNetworks(network, found);
        const window = Math.min(found.cores ?? 1, jobs);
        const { peerId: id } = found;
        const state = new NodeState({ id, window, maxWindow: window });
        this.#voters.set(id, { candidate, state });
        this.onChange?.();
      },
      onRound: () => this.onChange?.(),
    });
  }

  /** No node before there are enough for a quorum, or the search has ended. */
  get nodes(): readonly MapNode[] {
    return this.isSearching && this.#voters.size < this.#options.quorum.nodes ? [] : [this];
  }

  /** Whether the first search has not ended. */
  get isSearching(): boolean {
    return this.#search.isFirst;
  }

  /** Jobs at the same time: as many as the nodes have room for, each several times. */
  get capacity(): number {
    const slots = this.#usable.reduce((sum, { state }) => sum + state.window, 0);
    return Math.min(MAX_JOBS, Math.max(1, Math.floor(slots / this.#options.quorum.nodes)));
  }

  /** Work of each node. */
  get summaries(): NodeSummary[] {
    return [...this.#voters.values()].map(({ state }) => state.summary);
  }

  /** Too few nodes are left for any job. */
  isFinal({ code }: PlasmError): boolean {
    return code === "no-peer" && !this.isSearching && !this.#isEnough;
  }

  /** Runs a job on several nodes; once more if too few of them answer. */
  async run(job: PlacedJob, options: MapNodeOptions): Promise<PlacedResult> {
    const { output, signal } = options;
    for (let attempt = 1;; attempt++) {
      try {
        return await this.#run(job, options);
      } catch (error) {
        const isPassing = PlasmError.from(error).code === "no-peer" && this.#isEnough;
        if (!isPassing || attempt === MAX_ATTEMPTS || signal.aborted) throw error;
        output.reset();
        await delay(RETRY_MS, { signal });
      }
    }
  }

  /** Stops the search and the network. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#search[Symbol.asyncDispose]();
    await Promise.all(this.#settling);
    await this.#options.network.stop();
  }

  get #usable(): Voter[] {
    return [...this.#voters.values()].filter(({ state }) => !state.isExcluded);
  }

  get #isEnough(): boolean {
    return this.#usable.length >= this.#options.quorum.agree;
  }

  /** Nodes that do not rest, those with the least load first. */
  get #candidates(): QuorumCandidate[] {
    const now = Date.now();
    return this.#usable.filter(({ state }) => state.restsUntil <= now)
      .toSorted((a, b) => a.state.load - b.state.load)
      .map(({ candidate }) => candidate);
  }

  async #run(job: PlacedJob, { output, signal }: MapNodeOptions): Promise<PlacedResult> {
    const { network, quorum, sameNetwork } = this.#options;
    const started = new Map<string, NodeState>();
    let outcome: QuorumOutcome;
    try {
      outcome = await runQuorum(await remoteJobOf(job), {
        ...quorum,
        sameNetwork,
        signal,
        candidates: () => this.#candidates,
        dial: (peerId, options) => {
          const state = this.#voters.get(peerId)?.state;
          if (state !== undefined && !started.has(peerId)) {
            started.set(peerId, state);
            state.begin();
          }
          return this.#dial(peerId, options);
        },
        maxOutputBytes: outputLimitOf(job),
        recordOutcome: (peerId, outcome) => network.recordOutcome(peerId, outcome),
      });
    } catch (error) {
      for (const state of started.values()) state.end();
      throw error;
    }
    try {
      return await this.#accept(outcome, { output, started });
    } finally {
      outcome[Symbol.dispose]();
      const settling = outcome.settled.finally(() => this.#settling.delete(settling));
      this.#settling.add(settling);
    }
  }

  /**
   * Returns the result on which enough nodes agree.
   *
   * @throws {PlasmError} as `quorumError`; `details.evidence` has receipts that contradict each other
   */
  async #accept(
    outcome: QuorumOutcome,
    { output, started }: Pick<MapNodeOptions, "output"> & {
      started: ReadonlyMap<string, NodeState>;
    },
  ): Promise<PlacedResult> {
    const { network } = this.#options;
    const error = quorumError(outcome);
    const [group] = error === undefined ? outcome.groups : [];
    for (const run of outcome.runs) {
      const state = started.get(run.peerId);
      if (state !== undefined) recordRun(run, { state, accepted: group?.receipts[0] });
    }
    const all = outcome.groups.flatMap(({ receipts }) => receipts);
    const evidence = await evidenceOf(all);
    if (group === undefined) {
      if (evidence === undefined) throw error;
      const { code, message, hint, details } = error!;
      throw new PlasmError(code, message, {
        hint,
        details: { ...details, evidence: { ...evidence } },
      });
    }
    const { receipts, result } = group;
    recordStanding(
      all,
      receipts[0]!,
      (peerId, outcome) => network.recordOutcome(peerId, outcome),
    );
    return { ...await copyOutput(result, output), wasQueued: true, receipts, evidence };
  }
}

/** Records what a quorum shows about one of its nodes. */
function recordRun(
  { receipt, error, sentBytes = 0 }: QuorumRun,
  { state, accepted }: { state: NodeState; accepted: QuorumRun["receipt"] },
): void {
  if (receipt !== undefined && receipt.run.claim_hash === accepted?.run.claim_hash) {
    const { stdout, stderr, outputs } = receipt.claim;
    const files = Object.values(outputs);
    const receivedBytes = [stdout, stderr, ...files].reduce((sum, { bytes }) => sum + bytes, 0);
    const cpuTimeMs = receipt.run.usage.cpu_time_ms;
    // A node gets no more jobs than it has cores: one that waits holds up its quorum.
    return state.succeed({ cpuTimeMs, sentBytes, receivedBytes, wasQueued: true });
  }
  state.end();
  if (receipt !== undefined && accepted !== undefined && contradicts(accepted, receipt)) {
    const message = `Node returned a false result: ${receipt.run.node.peer_id}`;
    state.fail(new PlasmError("bad-receipt", message));
  } else if (error !== undefined && isFaultOfNode(error)) state.fail(error);
}
