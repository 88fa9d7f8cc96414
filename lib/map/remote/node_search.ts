/**
 * Searches the network for nodes that can run the jobs of a map, while it runs: nodes join and leave.
 *
 * @module
 */
import type { Resources } from "../../core/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import type { RemoteCandidate } from "../../remote/client/mod.ts";
import { findCandidates } from "../../remote/libp2p/mod.ts";
import { delay } from "../../util/async/mod.ts";

/** Nodes that a search looks for, in attempts of one job: enough for a small network. */
const SEARCH_ATTEMPTS = 16;

/** Most nodes of one map. */
const MAX_NODES = 64;

/** Pause between two searches, in milliseconds: nodes join while a map runs. */
const SEARCH_INTERVAL_MS = 30_000;

/** Options of {@linkcode NodeSearch}. */
export interface NodeSearchOptions {
  /** The network. */
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
}

/** A search that repeats until it is disposed. */
export class NodeSearch implements AsyncDisposable {
  readonly #options: NodeSearchOptions;
  readonly #found = new Set<string>();
  readonly #stopping = new AbortController();
  readonly #searching: Promise<void>;
  readonly #onNode: (candidate: RemoteCandidate) => void;
  readonly #onRound: () => void;
  #isFirst = true;

  /**
   * Starts to search.
   *
   * @param onNode Called for each node, once
   * @param onRound Called when a round of the search has ended
   */
  constructor(
    options: NodeSearchOptions,
    { onNode, onRound }: { onNode: (candidate: RemoteCandidate) => void; onRound: () => void },
  ) {
    this.#options = options;
    this.#onNode = onNode;
    this.#onRound = onRound;
    this.#searching = this.#search();
  }

  /** Whether the first round has not ended. */
  get isFirst(): boolean {
    return this.#isFirst;
  }

  /** Stops the search. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping.abort();
    await this.#searching;
  }

  /** Searches until it is disposed. Never rejects. */
  async #search(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      const { peers = [] } = this.#options;
      const queries = peers.length === 0 ? [undefined] : peers;
      await Promise.all(queries.map((peer) => this.#find(peer)));
      this.#isFirst = false;
      this.#onRound();
      await delay(SEARCH_INTERVAL_MS, { signal });
    }
  }

  /** Finds the nodes that match. A search that fails finds none. */
  async #find(peer: string | undefined): Promise<void> {
    const { network, resources, module: bytes, arch, minMemoryMb } = this.#options;
    const { signal } = this.#stopping;
    const attempts = SEARCH_ATTEMPTS;
    const module = { read: (at: number, length: number) => bytes.subarray(at, at + length) };
    const query = { peer, resources, module, arch, minMemoryMb, attempts, signal };
    try {
      for await (const candidate of findCandidates(network, query)) {
        if (this.#found.size >= MAX_NODES) return;
        if (this.#found.has(candidate.peerId)) continue;
        this.#found.add(candidate.peerId);
        this.#onNode(candidate);
      }
    } catch {
      // The map reports that it has no node.
    }
  }
}
