/**
 * Dials the addresses of a peer staggered and in parallel; libp2p dials one after the other, each up to its time limit.
 *
 * @module
 */
import type { Connection, PeerId } from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { delay } from "../../util/async/mod.ts";
import {
  rankAddresses,
  type RankedAddress,
  type RankOptions,
} from "../connectivity/dial_ranking.ts";

/** Options of libp2p's dial of one peer. */
interface PeerDialOptions {
  /** Peer to dial; unknown if only an address is given. */
  peerId?: PeerId | undefined;
  /** Given addresses; further dials of the peer add theirs. Empty if the peer store has them. */
  multiaddrs: Set<string>;
}

/** Options of a transport's dial. */
interface TransportDialOptions extends PeerDialOptions {
  signal: AbortSignal;
}

/** Methods and fields of libp2p's dial queue that its interface hides. */
export interface DialQueue {
  maxPeerAddrsToDial: number;
  addressDialTimeout: number;
  components: {
    transportManager: {
      dial(address: Multiaddr, options: TransportDialOptions): Promise<Connection>;
    };
    peerStore: { merge(peerId: PeerId, data: { multiaddrs: Multiaddr[] }): Promise<unknown> };
  };
  /** Loads addresses that are not given, resolves names and removes addresses that cannot be dialed. */
  calculateMultiaddrs(
    peerId: PeerId | undefined,
    given: Set<string>,
    options: TransportDialOptions,
  ): Promise<{ multiaddr: Multiaddr }[]>;
  dialPeer(options: PeerDialOptions, signal: AbortSignal): Promise<Connection>;
}

/** Longest wait before addresses are noticed that another dial of the same peer has added, in milliseconds. */
const CHECK_MS = 250;

/** Replaces the sequential dials of a connection manager. Given addresses are dialed wherever they lead. */
export function staggerDials(connectionManager: unknown, options: RankOptions): void {
  const { dialQueue } = connectionManager as { dialQueue: DialQueue };
  dialQueue.dialPeer = (peer, signal) => new PeerDial(dialQueue, peer, signal).run(options);
}

/** One dial of one peer; the first connection wins. */
class PeerDial {
  readonly #queue: DialQueue;
  readonly #options: PeerDialOptions;
  readonly #signal: AbortSignal;
  /** Aborts the dials that are not needed any more. */
  readonly #ended = new AbortController();
  readonly #seen = new Set<string>();
  readonly #running = new Set<Promise<void>>();
  readonly #errors: unknown[] = [];
  /** Addresses to dial, the next first; delays count from `#start`. */
  #waiting: RankedAddress[] = [];
  #start = performance.now();
  #winner: Connection | undefined;

  constructor(queue: DialQueue, options: PeerDialOptions, signal: AbortSignal) {
    this.#queue = queue;
    this.#options = options;
    this.#signal = signal;
  }

  async run(ranking: RankOptions): Promise<Connection> {
    const { multiaddrs } = this.#options;
    try {
      let mustLookUp = multiaddrs.size === 0;
      while (this.#winner === undefined) {
        if (mustLookUp || multiaddrs.size > 0) {
          await this.#add(mustLookUp ? ranking : { ...ranking, privateDials: "last" });
          mustLookUp = false;
        }
        if (this.#signal.aborted) break;
        this.#dialDue();
        if (this.#running.size === 0 && multiaddrs.size === 0) break;
        await this.#wait();
      }
    } finally {
      this.#ended.abort();
    }
    if (this.#winner === undefined) throw this.#failure();
    const { remotePeer, remoteAddr } = this.#winner;
    // An address that works is dialed again.
    await this.#queue.components.peerStore.merge(remotePeer, { multiaddrs: [remoteAddr] })
      .catch(() => {});
    return this.#winner;
  }

  /** Ranks the given addresses, or those of the peer store. */
  async #add(ranking: RankOptions): Promise<void> {
    const { peerId, multiaddrs } = this.#options;
    const given = new Set(multiaddrs);
    multiaddrs.clear();
    const options = { ...this.#options, signal: this.#signal };
    let found: { multiaddr: Multiaddr }[];
    try {
      found = await this.#queue.calculateMultiaddrs(peerId, given, options);
    } catch (error) {
      this.#errors.push(error);
      return;
    }
    const fresh = found.map(({ multiaddr }) => multiaddr)
      .filter((address) => !this.#seen.has(address.toString()));
    const ranked = rankAddresses(fresh, ranking);
    if (fresh.length > 0 && ranked.length === 0) {
      this.#errors.push(
        new Error(
          "all its addresses are in private networks, which network.private_addresses excludes",
        ),
      );
    }
    const places = Math.max(0, this.#queue.maxPeerAddrsToDial - this.#seen.size);
    const now = performance.now() - this.#start;
    for (const { address, delayMs } of ranked.slice(0, places)) {
      this.#seen.add(address.toString());
      this.#waiting.push({ address, delayMs: now + delayMs });
    }
    this.#waiting.sort((a, b) => a.delayMs - b.delayMs);
  }

  /** Dials the addresses that are due; the next ones at once if no dial is running. */
  #dialDue(): void {
    const [next] = this.#waiting;
    if (next === undefined) return;
    const now = performance.now() - this.#start;
    if (this.#running.size === 0 && next.delayMs > now) this.#start -= next.delayMs - now;
    const due = Math.max(now, this.#running.size === 0 ? next.delayMs : now);
    while (this.#waiting.length > 0 && this.#waiting[0]!.delayMs <= due) {
      this.#dial(this.#waiting.shift()!.address);
    }
  }

  #dial(address: Multiaddr): void {
    const { components, addressDialTimeout } = this.#queue;
    const limit = AbortSignal.timeout(addressDialTimeout);
    const signal = AbortSignal.any([this.#signal, this.#ended.signal, limit]);
    const task = components.transportManager.dial(address, { ...this.#options, signal }).then(
      (connection) => {
        if (!this.#ended.signal.aborted) this.#winner ??= connection;
        if (this.#winner !== connection) {
          connection.abort(new Error("Another address answered first"));
        }
      },
      (error) => void this.#errors.push(error),
    ).finally(() => this.#running.delete(task));
    this.#running.add(task);
  }

  /** Waits until a dial ends or the next one is due. */
  async #wait(): Promise<void> {
    const next = this.#waiting[0]?.delayMs ?? Infinity;
    const ms = Math.min(CHECK_MS, Math.max(0, this.#start + next - performance.now()));
    const done = new AbortController();
    const signal = AbortSignal.any([this.#signal, done.signal]);
    await Promise.race([...this.#running, delay(ms, { signal })]);
    done.abort();
  }

  #failure(): unknown {
    if (this.#errors.length === 1) return this.#errors[0];
    if (this.#errors.length > 1) return new AggregateError(this.#errors, "All dials failed");
    return this.#signal.reason ?? new Error("it has no address");
  }
}
