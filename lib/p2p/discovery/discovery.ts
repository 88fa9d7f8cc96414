/**
 * Finding nodes by what they can run.
 * @module
 */
import type { Connection, PeerInfo } from "@libp2p/interface";
import { PlasmError } from "../../core/errors/mod.ts";
import { pathOf, transportOf } from "../addresses.ts";
import { type Candidate, type DiscoverCriteria, isMatch, scoreOf, topicFor } from "./candidate.ts";
import { capabilityKey, type CapabilityTopic } from "./candidate.ts";
import { fetchCapability } from "./capability.ts";
import { openConnection } from "../connectivity/connection_tracker.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";
import { BoundedMap } from "../../util/mod.ts";
import { sleep } from "../../util/async/mod.ts";
import type { PlasmNode } from "../libp2p_node.ts";
import type { Reputation } from "../state/reputation.ts";

/** Options of {@linkcode Discovery.find}. */
export interface DiscoverOptions {
  /** Ends it with the signal's reason. */
  signal?: AbortSignal | undefined;
  /**
   * Candidates after which it ends.
   * @default {10}
   */
  limit?: number | undefined;
  /**
   * Milliseconds after which it ends.
   * @default {30000}
   */
  timeoutMs?: number | undefined;
}

/** Nodes asked at once. */
const ASK_PARALLEL = 8;
/** Nodes asked in one search: a lying peer can name any number. */
const MAX_ASKED = 256;
/** One node: dialling, both handshakes and the document. */
const ASK_TIMEOUT_MS = 15_000;
/** The wait before looking again where nothing was found: records may be on their way. */
const LOOK_AGAIN_MS = 1_000;
/** Addresses of one peer that are believed. */
const MAX_ADDRESSES = 16;
/** Peers whose sequence numbers are remembered. */
const MAX_SEQUENCES = 4096;

/** What a {@linkcode Discovery} works with. */
export interface DiscoveryContext {
  node: PlasmNode;
  reputation: Reputation;
  emit: EmitEvent;
}

/** Searches on behalf of one node. */
export class Discovery {
  #context: DiscoveryContext;
  #sequences = new BoundedMap<string, { seq: number; expiresAt: number }>(MAX_SEQUENCES);

  constructor(context: DiscoveryContext) {
    this.#context = context;
  }

  /**
   * Searches the DHT and queries the nodes it finds. Candidates arrive as they answer; of those that have
   * answered the best comes first.
   *
   * @throws {DOMException} where the signal is aborted: its reason
   */
  async *find(
    criteria: DiscoverCriteria,
    { signal, limit = 10, timeoutMs = 30_000 }: DiscoverOptions = {},
  ): AsyncGenerator<Candidate> {
    signal?.throwIfAborted();
    const ended = new AbortController();
    const timeout = AbortSignal.timeout(timeoutMs);
    const stop = AbortSignal.any([ended.signal, timeout, ...(signal ? [signal] : [])]);
    const found: Candidate[] = [];
    let wake = Promise.withResolvers<void>();
    let searching = true;
    const search = this.#search(criteria, {
      signal: stop,
      onFound: (candidate) => {
        found.push(candidate);
        wake.resolve();
      },
    }).finally(() => {
      searching = false;
      wake.resolve();
    });
    try {
      for (let given = 0; given < limit;) {
        if (found.length > 0) {
          found.sort((a, b) => a.score - b.score);
          given++;
          yield found.pop()!;
        } else if (searching) {
          await wake.promise;
          wake = Promise.withResolvers();
        } else break;
      }
      signal?.throwIfAborted();
    } finally {
      ended.abort();
      await search;
    }
  }

  /**
   * Asks one connected or dialable peer.
   *
   * @throws {PlasmError} `no-peer` where it cannot be reached, `protocol` or `not-found` as
   * {@linkcode fetchCapability} does
   */
  async ask(peer: PeerInfo, signal: AbortSignal): Promise<Candidate> {
    const { node, reputation, emit } = this.#context;
    const peerId = peer.id.toString();
    const limit = AbortSignal.any([signal, AbortSignal.timeout(ASK_TIMEOUT_MS)]);
    const connection = await this.#connect(peer, limit);
    const last = this.#sequences.get(peerId);
    const lastSeq = last !== undefined && last.expiresAt > Date.now() ? last.seq : undefined;
    const { transport, path } = describe(connection);
    const start = performance.now();
    try {
      const capability = await fetchCapability(connection, { signal: limit, lastSeq });
      const latencyMs = Math.round(performance.now() - start);
      const expiresAt = Date.parse(capability.expires_at);
      this.#sequences.set(peerId, { seq: capability.seq, expiresAt });
      await node.libp2p.peerStore.merge(peer.id, { multiaddrs: [connection.remoteAddr] });
      emit({ event: "capability_seen", peer_id: peerId, latency_ms: latencyMs, transport, path });
      const score = scoreOf(capability, { latencyMs, path, record: reputation.get(peerId) });
      reputation.note(peerId, { ok: true, latencyMs });
      return { peerId, capability, latencyMs, score, transport, path };
    } catch (error) {
      if (signal.aborted) throw error;
      const code = error instanceof PlasmError ? error.code : "peer-timeout";
      emit({
        event: "capability_refused",
        peer_id: peerId,
        transport,
        path,
        error_code: code,
        reason: reasonOf(error),
      });
      reputation.note(peerId, { ok: false });
      throw error;
    }
  }

  async #connect(peer: PeerInfo, signal: AbortSignal): Promise<Connection> {
    const { node, reputation, emit } = this.#context;
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
      const reason = reasonOf(error);
      emit({ event: "dial", peer_id: peerId, latency_ms, error_code: "no-peer", reason });
      reputation.note(peerId, { ok: false });
      throw new PlasmError("no-peer", `Cannot reach peer ${peerId}: ${reason}`, { cause: error });
    }
  }

  async #search(
    criteria: DiscoverCriteria,
    { signal, onFound }: { signal: AbortSignal; onFound: (candidate: Candidate) => void },
  ): Promise<void> {
    const topic = topicFor(criteria);
    const start = performance.now();
    const asked = new Set<string>([this.#context.node.libp2p.peerId.toString()]);
    const asking = new Set<Promise<void>>();
    let count = 0;
    let failure: unknown;
    const ask = async (peer: PeerInfo): Promise<void> => {
      try {
        const candidate = await this.ask(peer, signal);
        if (!isMatch(candidate.capability, criteria)) return;
        count++;
        onFound(candidate);
      } catch {
        // Reported by an event; another node may answer.
      }
    };
    while (!signal.aborted && count === 0) {
      try {
        for await (const peer of this.#providers(topic, signal)) {
          if (asked.has(peer.id.toString()) || asked.size > MAX_ASKED) continue;
          asked.add(peer.id.toString());
          const task = ask(peer).finally(() => asking.delete(task));
          asking.add(task);
          if (asking.size >= ASK_PARALLEL) await Promise.race(asking);
        }
      } catch (error) {
        failure = error;
      }
      await Promise.all(asking);
      if (count === 0) await sleep(LOOK_AGAIN_MS, signal);
    }
    await Promise.all(asking);
    this.#context.emit({
      event: "query",
      key: topic,
      count,
      latency_ms: Math.round(performance.now() - start),
      ...(count > 0 ? {} : { error_code: "no-peer", reason: reasonOf(failure ?? "nobody found") }),
    });
  }

  async *#providers(topic: CapabilityTopic, signal: AbortSignal): AsyncGenerator<PeerInfo> {
    const key = await capabilityKey(topic);
    yield* this.#context.node.libp2p.contentRouting.findProviders(key, { signal });
  }
}

function describe({ remoteAddr }: Connection) {
  return {
    address: remoteAddr.toString(),
    transport: transportOf(remoteAddr),
    path: pathOf(remoteAddr),
  };
}
