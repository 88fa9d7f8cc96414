/**
 * Queues the providers that a search finds. Peers that return providers who cannot be queried get fewer turns.
 *
 * @module
 */
import type { PeerInfo } from "@libp2p/interface";

/** Providers of one source at most: a malicious peer can return any number. */
const MAX_PER_SOURCE = 1024;

/** Sources at most; a lookup queries fewer. */
const MAX_SOURCES = 256;

/** Failed queries weigh as much as this many running ones. */
const FAILURE_WEIGHT = 4;

interface Source {
  waiting: PeerInfo[];
  count: number;
  running: number;
  failed: number;
}

/** Provider to query. */
export interface QueuedProvider {
  peer: PeerInfo;
  /** Reports the end of the query. */
  settle: (outcome: { ok: boolean }) => void;
}

/** Queue of providers by the peers that returned them, without repetitions. */
export class ProviderQueue {
  readonly #sources = new Map<string, Source>();
  readonly #known: Set<string>;
  #changed = Promise.withResolvers<void>();
  #hasEnded = false;

  /** @param known Peers to omit */
  constructor(known: Iterable<string> = []) {
    this.#known = new Set(known);
  }

  /** Adds the providers that a peer returned. */
  add(from: string, providers: readonly PeerInfo[]): void {
    let source = this.#sources.get(from);
    if (source === undefined) {
      if (this.#sources.size === MAX_SOURCES) return;
      source = { waiting: [], count: 0, running: 0, failed: 0 };
      this.#sources.set(from, source);
    }
    const added = providers.slice(0, MAX_PER_SOURCE - source.count);
    source.count += added.length;
    source.waiting.push(...added);
    this.#notify();
  }

  /** Ends the queue after the providers that it has. */
  end(): void {
    this.#hasEnded = true;
    this.#notify();
  }

  /** Removes and returns a provider, when there is one; undefined after the last. */
  async next(): Promise<QueuedProvider | undefined> {
    for (;;) {
      const provider = this.#take();
      if (provider !== undefined || this.#hasEnded) return provider;
      await this.#changed.promise;
    }
  }

  #take(): QueuedProvider | undefined {
    const cost = ({ running, failed }: Source) => running + FAILURE_WEIGHT * failed;
    const order = [...this.#sources.values()].sort((a, b) => cost(a) - cost(b));
    for (const source of order) {
      for (let peer = source.waiting.shift(); peer !== undefined; peer = source.waiting.shift()) {
        const peerId = peer.id.toString();
        if (this.#known.has(peerId)) continue;
        this.#known.add(peerId);
        source.running++;
        const settle = ({ ok }: { ok: boolean }) => {
          source.running--;
          if (!ok) source.failed++;
        };
        return { peer, settle };
      }
    }
    return undefined;
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }
}
