/**
 * Selects the nodes of a quorum: distinct keys, distinct networks and, where results depend on it, one class.
 *
 * @module
 */
import type { Runtime } from "../core/mod.ts";
import { delay } from "../util/async/mod.ts";
import type { RemoteCandidate } from "../remote/client/mod.ts";

/** Node that may be part of a quorum. */
export interface QuorumCandidate extends RemoteCandidate {
  /** Networks of its connections; empty if none is known. See `networkPrefix`. */
  networks: readonly string[];
}

/** Node that was found and not used, and why. */
export interface UnusedNode {
  /** Peer id of the node. */
  peerId: string;
  /** Why it was not used. */
  reason: string;
}

/** How long the search may continue for nodes of one class once enough others are found, in milliseconds. */
const CLASS_WAIT_MS = 1_000;

/** Found nodes that are stored: a search returns fewer. */
const MAX_FOUND = 256;

/** Options of {@linkcode NodeSelection}. */
export interface NodeSelectionOptions {
  /** Nodes as the search finds them, the best first. */
  candidates: AsyncIterable<QuorumCandidate> | Iterable<QuorumCandidate>;
  /** Number of nodes that start together. */
  nodes: number;
  /** Whether nodes may be in one network. */
  sameNetwork: boolean;
  /** Whether nodes of one class are preferred, because their results may depend on it. */
  oneClass: boolean;
  /** How long to wait for nodes of one class, in milliseconds. @default {1000} */
  classWaitMs?: number | undefined;
}

/** Engine and architecture of a node, on which results of the default profile may depend. */
export function nodeClass({ arch, engine }: Pick<Runtime, "arch" | "engine">): string {
  return `${arch} ${engine}`;
}

/** Selects nodes from those that a search finds. */
export class NodeSelection {
  readonly #options: NodeSelectionOptions;
  readonly #found: AsyncIterator<QuorumCandidate> | Iterator<QuorumCandidate>;
  readonly #waiting: QuorumCandidate[] = [];
  readonly #selected = new Map<string, QuorumCandidate>();
  readonly #seen = new Set<string>();
  #reading: Promise<void> | undefined;
  #hasEnded = false;
  #failure: { error: unknown } | undefined;

  constructor(options: NodeSelectionOptions) {
    this.#options = options;
    const { candidates } = options;
    this.#found = Symbol.asyncIterator in candidates
      ? candidates[Symbol.asyncIterator]()
      : candidates[Symbol.iterator]();
  }

  /** Number of distinct nodes that the search has found. */
  get found(): number {
    return this.#seen.size;
  }

  /**
   * Selects the next node; undefined if there is none.
   *
   * @throws The search's error if it found no node
   */
  async next(): Promise<QuorumCandidate | undefined> {
    const { oneClass, classWaitMs = CLASS_WAIT_MS } = this.#options;
    const waited = new AbortController();
    let hasWaited = false;
    let waiting: Promise<void> | undefined;
    try {
      for (;;) {
        const usable = this.#usable();
        const candidate = oneClass ? this.#ofOneClass(usable) : usable[0];
        if (candidate !== undefined) return this.#select(candidate);
        if (this.#hasEnded || (hasWaited && usable.length > 0)) {
          if (this.#failure !== undefined && this.#seen.size === 0) throw this.#failure.error;
          const best = this.#bestClass(usable)[0];
          return best && this.#select(best);
        }
        const isEnough = this.#selected.size + usable.length >= this.#options.nodes;
        if (isEnough) {
          waiting ??= delay(classWaitMs, { signal: waited.signal }).then(() =>
            void (hasWaited = true)
          );
        }
        this.#reading ??= this.#read();
        await (waiting === undefined ? this.#reading : Promise.race([this.#reading, waiting]));
      }
    } finally {
      waited.abort();
    }
  }

  /** Lets another node of the same network be selected, because this one has not run the job. */
  release({ peerId }: QuorumCandidate): void {
    this.#selected.delete(peerId);
  }

  /** Nodes that were found and not selected. */
  unused(): UnusedNode[] {
    return this.#waiting.map(({ peerId, networks }) => {
      if (networks.length === 0 && !this.#options.sameNetwork) {
        return { peerId, reason: "its network is not known" };
      }
      const taken = this.#takenNetworks();
      const network = networks.find((one) => taken.has(one));
      return {
        peerId,
        reason: network === undefined
          ? "enough nodes were found"
          : `it is in the network ${network} of ${taken.get(network)}`,
      };
    });
  }

  /** Stops the search. */
  async close(): Promise<void> {
    this.#hasEnded = true;
    await this.#found.return?.();
  }

  async #read(): Promise<void> {
    try {
      const { done, value } = await this.#found.next();
      if (done || this.#seen.size >= MAX_FOUND) this.#hasEnded = true;
      else if (!this.#seen.has(value.peerId)) {
        this.#seen.add(value.peerId);
        this.#waiting.push(value);
      }
    } catch (error) {
      this.#hasEnded = true;
      this.#failure = { error };
    } finally {
      this.#reading = undefined;
    }
  }

  #select(candidate: QuorumCandidate): QuorumCandidate {
    this.#waiting.splice(this.#waiting.indexOf(candidate), 1);
    this.#selected.set(candidate.peerId, candidate);
    return candidate;
  }

  #takenNetworks(): Map<string, string> {
    return new Map(
      [...this.#selected.values()].flatMap(({ peerId, networks }) =>
        networks.map((network) => [network, peerId] as const)
      ),
    );
  }

  #usable(): QuorumCandidate[] {
    if (this.#options.sameNetwork) return [...this.#waiting];
    const taken = this.#takenNetworks();
    return this.#waiting.filter(({ networks }) =>
      networks.length > 0 && !networks.some((network) => taken.has(network))
    );
  }

  /** A node of the class of the selected ones; before the first, of a class that has enough nodes. */
  #ofOneClass(usable: readonly QuorumCandidate[]): QuorumCandidate | undefined {
    const [first] = this.#selected.values();
    if (first !== undefined) return usable.find((one) => classOf(one) === classOf(first));
    const best = this.#bestClass(usable);
    return this.#independent(best) >= this.#options.nodes ? best[0] : undefined;
  }

  /** The nodes of the class that has most independent nodes. */
  #bestClass(usable: readonly QuorumCandidate[]): QuorumCandidate[] {
    const classes = [...Map.groupBy(usable, classOf).values()];
    return classes.toSorted((a, b) => this.#independent(b) - this.#independent(a))[0] ?? [];
  }

  /** Number of nodes that can be selected together. */
  #independent(candidates: readonly QuorumCandidate[]): number {
    if (this.#options.sameNetwork) return candidates.length;
    const taken = new Set<string>();
    return candidates.filter(({ networks }) => {
      if (networks.some((network) => taken.has(network))) return false;
      for (const network of networks) taken.add(network);
      return true;
    }).length;
  }
}

function classOf({ runtime }: QuorumCandidate): string {
  return runtime === undefined ? "" : nodeClass(runtime);
}
