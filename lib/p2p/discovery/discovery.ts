/**
 * Discovers nodes by their capabilities: looks up provider records in the DHT and queries each provider.
 *
 * @module
 */
import type { Connection, PeerInfo } from "@libp2p/interface";
import type { Libp2p } from "libp2p";
import { PlasmError } from "../../core/errors/mod.ts";
import { pathOf, transportOf } from "../addresses.ts";
import { type Candidate, type DiscoverCriteria, isMatch, scoreOf, topicFor } from "./candidate.ts";
import { capabilityKey, type CapabilityTopic } from "./candidate.ts";
import { fetchCapability } from "./capability.ts";
import { dialReasonOf } from "../connectivity/dial_reason.ts";
import { openConnection } from "../connectivity/connection_tracker.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";
import { BoundedMap } from "../../util/mod.ts";
import { delay } from "../../util/async/mod.ts";
import { ProviderQueue, type QueuedProvider } from "./provider_queue.ts";
import { RankedCandidates } from "./ranked_candidates.ts";
import type { PlasmNode } from "../libp2p_node.ts";
import type { Reputation } from "../state/peer_state.ts";
import type { RecentCandidates } from "./recent_candidates.ts";

/** Options of {@linkcode Discovery.find}. */
export interface DiscoverOptions {
  /** Aborts the search. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * Candidates after which the search ends.
   * @default {10}
   */
  limit?: number | undefined;
  /**
   * Time after which the search ends, in milliseconds.
   * @default {30000}
   */
  timeoutMs?: number | undefined;
}

/** Options of {@linkcode Discovery.queryPeer}. */
export interface QueryPeerOptions {
  /** Aborts the query. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * Whether an address of the peer is known; otherwise the DHT provides it.
   * @default {true}
   */
  isKnown?: boolean | undefined;
}

/** Nodes queried concurrently. */
const QUERY_PARALLEL = 32;

/** Nodes queried in one search: a malicious peer can return any number of providers. */
const MAX_QUERIED = 1024;

/** Time limit for one node, in milliseconds: dial, both handshakes and the document. */
const QUERY_TIMEOUT_MS = 15_000;

/** Time that a connection may take to close after its streams, in milliseconds. */
const CLOSE_WAIT_MS = 1_000;

/** Delay before the next lookup if none has found a node, in milliseconds: records may not be stored yet. */
const LOOKUP_INTERVAL_MS = 1_000;

/** Addresses accepted for one peer. */
const MAX_ADDRESSES = 16;

/** Peers whose latest sequence number is stored. */
const MAX_SEQUENCES = 4096;

/** Context of a {@linkcode Discovery}. */
export interface DiscoveryContext {
  node: PlasmNode;
  reputation: Reputation;
  /** Receives each candidate. */
  recent: Pick<RecentCandidates, "add">;
  emit: EmitEvent;
  /** Resolves to an error if the node has no connection once its first dials have completed. */
  joinFailure: () => Promise<PlasmError | undefined>;
}

/** Searches for nodes on behalf of one node. */
export class Discovery {
  #context: DiscoveryContext;
  #sequences = new BoundedMap<string, { seq: number; expiresAt: number }>(MAX_SEQUENCES);

  constructor(context: DiscoveryContext) {
    this.#context = context;
  }

  /**
   * Searches the DHT and queries the nodes it finds. Yields candidates as they answer, the best of the waiting ones
   * first; see {@linkcode RankedCandidates}.
   *
   * @throws {PlasmError} `no-peer` if the node cannot join the network.
   * @throws The signal's reason if it aborts.
   */
  async *find(
    criteria: DiscoverCriteria,
    { signal, limit = 10, timeoutMs = 30_000 }: DiscoverOptions = {},
  ): AsyncGenerator<Candidate> {
    signal?.throwIfAborted();
    const ended = new AbortController();
    const timeout = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([ended.signal, timeout, ...(signal ? [signal] : [])]);
    const { reputation, joinFailure } = this.#context;
    using candidates = new RankedCandidates({
      isAvoided: (peerId) => reputation.isAvoided(peerId),
      isNew: (peerId) => reputation.isNew(peerId),
    });
    let count = 0;
    const search = this.#search(criteria, {
      signal: stop,
      onFound: (candidate) => {
        count++;
        candidates.add(candidate);
      },
    }).finally(() => candidates.end());
    let failure: PlasmError | undefined;
    void joinFailure().then((error) => {
      if (error === undefined || count > 0) return;
      failure = error;
      ended.abort();
    });
    try {
      for (let yielded = 0; yielded < limit; yielded++) {
        const candidate = await candidates.next();
        if (candidate === undefined) break;
        yield candidate;
      }
      signal?.throwIfAborted();
      if (count === 0 && failure !== undefined) throw failure;
    } finally {
      ended.abort();
      await search;
    }
  }

  /**
   * Queries the capabilities of one peer, which it dials if necessary.
   *
   * @throws {PlasmError} `no-peer` if the peer is unreachable or the node cannot join the network to look up its
   * address, `protocol` or `not-found` as for {@linkcode fetchCapability}.
   */
  async queryPeer(
    peer: PeerInfo,
    { signal, isKnown = true }: QueryPeerOptions = {},
  ): Promise<Candidate> {
    const ended = new AbortController();
    if (!isKnown) {
      void this.#context.joinFailure().then((error) => error && ended.abort(error));
    }
    try {
      const both = signal === undefined ? ended.signal : AbortSignal.any([signal, ended.signal]);
      return await this.#query(peer, both);
    } catch (error) {
      throw ended.signal.aborted ? ended.signal.reason : error;
    }
  }

  async #query(peer: PeerInfo, signal: AbortSignal): Promise<Candidate> {
    const { node, emit } = this.#context;
    const peerId = peer.id.toString();
    const limit = AbortSignal.any([signal, AbortSignal.timeout(QUERY_TIMEOUT_MS)]);
    let connection = await this.#connect(peer, limit);
    try {
      try {
        return await this.#fetch(connection, limit);
      } catch (error) {
        // Hole punching closes the relayed connection once a direct one is open.
        if (!mayHaveClosed(error) || !await isReplaced(node.libp2p, connection, limit)) throw error;
        connection = await this.#connect(peer, limit);
        return await this.#fetch(connection, limit);
      }
    } catch (error) {
      if (signal.aborted) throw error;
      const code = error instanceof PlasmError ? error.code : "peer-timeout";
      emit({
        event: "capability-refused",
        peer_id: peerId,
        transport: transportOf(connection.remoteAddr),
        path: pathOf(connection.remoteAddr),
        error_code: code,
        reason: reasonOf(error),
      });
      throw error;
    }
  }

  async #fetch(connection: Connection, signal: AbortSignal): Promise<Candidate> {
    const { node, reputation, recent, emit } = this.#context;
    const peerId = connection.remotePeer.toString();
    const last = this.#sequences.get(peerId);
    const lastSeq = last !== undefined && last.expiresAt > Date.now() ? last.seq : undefined;
    const { transport, path } = describe(connection);
    const start = performance.now();
    const capability = await fetchCapability(connection, { signal, lastSeq });
    const latencyMs = Math.round(performance.now() - start);
    const expiresAt = Date.parse(capability.expires_at);
    this.#sequences.set(peerId, { seq: capability.seq, expiresAt });
    await node.libp2p.peerStore.merge(connection.remotePeer, {
      multiaddrs: [connection.remoteAddr],
    });
    emit({ event: "capability-seen", peer_id: peerId, latency_ms: latencyMs, transport, path });
    const score = scoreOf(capability, { latencyMs, path, record: reputation.get(peerId) });
    reputation.recordLatency(peerId, latencyMs);
    const candidate = { peerId, capability, latencyMs, score, transport, path };
    recent.add(candidate);
    return candidate;
  }

  async #connect(peer: PeerInfo, signal: AbortSignal): Promise<Connection> {
    const { node, emit } = this.#context;
    const { libp2p } = node;
    const open = openConnection(libp2p, peer.id);
    if (open !== undefined) return open;
    const start = performance.now();
    const peerId = peer.id.toString();
    try {
      const multiaddrs = peer.multiaddrs.slice(0, MAX_ADDRESSES);
      if (multiaddrs.length > 0) await libp2p.peerStore.merge(peer.id, { multiaddrs });
      const connection = await libp2p.dial(peer.id, { signal });
      const latency_ms = Math.round(performance.now() - start);
      emit({ event: "dial", peer_id: peerId, latency_ms, ...describe(connection) });
      return connection;
    } catch (error) {
      const latency_ms = Math.round(performance.now() - start);
      const reason = dialReasonOf(error);
      emit({ event: "dial", peer_id: peerId, latency_ms, error_code: "no-peer", reason });
      throw new PlasmError("no-peer", `Cannot reach peer ${peerId}: ${reason}`, { cause: error });
    }
  }

  async #search(
    criteria: DiscoverCriteria,
    { signal, onFound }: { signal: AbortSignal; onFound: (candidate: Candidate) => void },
  ): Promise<void> {
    const topic = topicFor(criteria);
    const start = performance.now();
    const pending = new Set<Promise<void>>();
    let count = 0;
    let failure: unknown;
    const query = async ({ peer, settle }: QueuedProvider): Promise<void> => {
      let ok = false;
      try {
        const candidate = await this.#query(peer, signal);
        ok = true;
        if (!isMatch(candidate.capability, criteria)) return;
        count++;
        onFound(candidate);
      } catch {
        // An event has reported the error; another node may answer.
      } finally {
        settle({ ok });
      }
    };
    let left = MAX_QUERIED;
    const known = new Set([this.#context.node.libp2p.peerId.toString()]);
    while (!signal.aborted && count === 0) {
      const queue = new ProviderQueue(known);
      const collecting = this.#collect(queue, { topic, signal }).catch((error) => failure = error);
      for (let next = await queue.next(); next !== undefined; next = await queue.next()) {
        if (left-- <= 0 || signal.aborted) break;
        known.add(next.peer.id.toString());
        const task = query(next).finally(() => pending.delete(task));
        pending.add(task);
        if (pending.size >= QUERY_PARALLEL) await Promise.race(pending);
      }
      await Promise.all([...pending, collecting]);
      if (count === 0) await delay(LOOKUP_INTERVAL_MS, { signal });
    }
    await Promise.all(pending);
    this.#context.emit({
      event: "query",
      key: topic,
      count,
      latency_ms: Math.round(performance.now() - start),
      ...(count > 0 ? {} : { error_code: "no-peer", reason: reasonOf(failure ?? "no node found") }),
    });
  }

  /** Looks up the providers of a topic and adds them to a queue, which it ends. */
  async #collect(
    queue: ProviderQueue,
    { topic, signal }: { topic: CapabilityTopic; signal: AbortSignal },
  ): Promise<void> {
    try {
      const key = await capabilityKey(topic);
      for await (const event of this.#context.node.dht.findProviders(key, { signal })) {
        if (event.name === "PROVIDER") queue.add(event.from.toString(), event.providers);
      }
    } finally {
      queue.end();
    }
  }
}

/** Reports whether a query may have failed because its connection closed: the peer did not answer otherwise. */
function mayHaveClosed(error: unknown): boolean {
  const { name, cause } = error as Error;
  return name !== "UnsupportedProtocolError" &&
    (!(error instanceof PlasmError) || cause !== undefined);
}

/** Waits a short time until a connection has closed or its peer has another one; returns false if neither happens. */
async function isReplaced(
  libp2p: Libp2p,
  connection: Connection,
  signal: AbortSignal,
): Promise<boolean> {
  const { remotePeer, id } = connection;
  const isDone = () =>
    connection.status !== "open" ||
    libp2p.getConnections(remotePeer).some((other) => other.id !== id && other.status === "open");
  const done = new AbortController();
  const check = () => void (isDone() && done.abort());
  connection.addEventListener("close", check);
  libp2p.addEventListener("connection:open", check);
  try {
    check();
    await delay(CLOSE_WAIT_MS, { signal: AbortSignal.any([signal, done.signal]) });
    return !signal.aborted && isDone();
  } finally {
    connection.removeEventListener("close", check);
    libp2p.removeEventListener("connection:open", check);
  }
}

function describe({ remoteAddr }: Connection) {
  return {
    address: remoteAddr.toString(),
    transport: transportOf(remoteAddr),
    path: pathOf(remoteAddr),
  };
}
