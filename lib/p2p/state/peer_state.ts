/**
 * State of other peers: their reputation in memory, and JSON files from which the next start restores it and finds the
 * network quickly.
 *
 * @module
 */
import type { PeerInfo, PeerStore } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import type { Libp2p } from "libp2p";
import { readStateFile, writeStateFile } from "../../core/mod.ts";
import { delay } from "../../util/async/mod.ts";
import { BoundedMap } from "../../util/mod.ts";
import type { ConnectionTracker } from "../connectivity/connection_tracker.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";

/** Name of the reputation file in the state directory. */
export const REPUTATION_FILE = "reputation.json";

/** Name of the file of known peers in the state directory. */
export const PEERS_FILE = "peers.json";

/** Format version of both files. */
const VERSION = 1;

/** Most peers with a reputation. */
const MAX_RECORDS = 1000;

/** Weight of the latest latency against the average of all earlier ones. */
const LATENCY_WEIGHT = 0.3;

/** Sum of both counts at which they are halved, so that old failures lose weight. */
const MAX_COUNT = 64;

/** Time that a node is avoided after a failed job, in milliseconds; it quadruples with each failure in a row. */
const AVOID_MS = 60_000;

/** Longest time that a node is avoided, in milliseconds. */
const MAX_AVOID_MS = 24 * 60 * 60 * 1000;

/** Reputation of one peer. */
export interface PeerRecord {
  /** Jobs that the node returned a verified result for. */
  succeeded: number;
  /** Jobs that the node did not answer, lost or falsified. */
  failed: number;
  /** Jobs that the node refused, or for which it stated why it has no result. */
  refused: number;
  /** Failed jobs since the latest success. */
  failedInRow: number;
  /** Time until which other nodes are preferred, in Unix milliseconds; 0 after a success. */
  avoidUntil: number;
  /** Moving average of the time to fetch the capability document, in milliseconds; null before the first. */
  latencyMs: number | null;
}

/** Outcome of a job on a peer. */
export interface PeerOutcome {
  /** Whether the node returned a verified result. */
  ok: boolean;
  /**
   * The node refused the job, which is no failure; other nodes are preferred for this time, in milliseconds.
   * @default {undefined: the node failed the job}
   */
  refusedForMs?: number | undefined;
}

const UNKNOWN: Readonly<PeerRecord> = {
  succeeded: 0,
  failed: 0,
  refused: 0,
  failedInRow: 0,
  avoidUntil: 0,
  latencyMs: null,
};

/** Outcomes of jobs and latency of each peer. A document proves nothing about how a node treats jobs. */
export class Reputation {
  #records = new BoundedMap<string, PeerRecord>(MAX_RECORDS);
  /** Peers whose jobs had an outcome since the last save. */
  #changed = new BoundedMap<string, true>(MAX_RECORDS);

  /** Record of a peer; zeros for an unknown peer. */
  get(peerId: string): Readonly<PeerRecord> {
    return this.#records.get(peerId) ?? UNKNOWN;
  }

  /** Records of all peers. */
  all(): { peerId: string; record: Readonly<PeerRecord> }[] {
    return [...this.#records].map(([peerId, record]) => ({ peerId, record }));
  }

  /** Reports whether other nodes are preferred, because the peer failed a job lately. */
  isAvoided(peerId: string, now: number = Date.now()): boolean {
    return this.get(peerId).avoidUntil > now;
  }

  /** Reports whether no outcome of a job on the peer is known. */
  isNew(peerId: string): boolean {
    const { succeeded, failed, refused } = this.get(peerId);
    return succeeded + failed + refused === 0;
  }

  /** Records the outcome of a job on a peer. */
  recordJob(
    peerId: string,
    { ok, refusedForMs }: PeerOutcome,
    now: number = Date.now(),
  ): void {
    const old = this.get(peerId);
    const scale = old.succeeded + old.failed + old.refused >= MAX_COUNT ? 0.5 : 1;
    const isRefusal = !ok && refusedForMs !== undefined;
    const isFailure = !ok && !isRefusal;
    const inRow = isFailure ? Math.min(old.failedInRow + 1, MAX_COUNT) : old.failedInRow;
    const failedForMs = Math.min(AVOID_MS * 4 ** (inRow - 1), MAX_AVOID_MS);
    const avoidUntil = now + (isRefusal ? Math.min(refusedForMs, AVOID_MS) : failedForMs);
    this.#changed.set(peerId, true);
    this.#records.set(peerId, {
      ...old,
      succeeded: Math.floor(old.succeeded * scale) + Number(ok),
      failed: Math.floor(old.failed * scale) + Number(isFailure),
      refused: Math.floor(old.refused * scale) + Number(isRefusal),
      failedInRow: ok ? 0 : inRow,
      avoidUntil: ok ? 0 : Math.max(old.avoidUntil, avoidUntil),
    });
  }

  /** Records the time to fetch the capability document of a peer, in milliseconds. */
  recordLatency(peerId: string, latencyMs: number): void {
    const old = this.get(peerId);
    const average = old.latencyMs ?? latencyMs;
    this.#records.set(peerId, {
      ...old,
      latencyMs: average + LATENCY_WEIGHT * (latencyMs - average),
    });
  }

  /**
   * Reads the records of the last run. Invalid entries are skipped.
   *
   * @throws {Error} If the file cannot be read.
   */
  async load(stateDir: string): Promise<void> {
    const peers = await readList(`${stateDir}/${REPUTATION_FILE}`, "reputation");
    for (const entry of peers.slice(-MAX_RECORDS)) {
      const parsed = parseRecord(entry);
      if (parsed !== null) this.#records.set(...parsed);
    }
  }

  /**
   * Writes all records. Outcomes that other processes, such as commands that run at the same time, have saved
   * meanwhile are kept for peers of which this process has none.
   *
   * @throws {Error} If the file cannot be written.
   */
  async save(stateDir: string): Promise<void> {
    const saved = new Reputation();
    // An invalid file is replaced.
    await saved.load(stateDir).catch(() => {});
    for (const [id, record] of saved.#records) {
      if (this.#changed.get(id)) continue;
      this.#records.set(id, { ...record, latencyMs: this.get(id).latencyMs ?? record.latencyMs });
    }
    this.#changed = new BoundedMap(MAX_RECORDS);
    const peers = [...this.#records].map(([id, record]) => ({
      id,
      succeeded: record.succeeded,
      failed: record.failed,
      refused: record.refused,
      failed_in_row: record.failedInRow,
      avoid_until: record.avoidUntil,
      latency_ms: record.latencyMs === null ? null : Math.round(record.latencyMs),
    }));
    await writeStateFile(`${stateDir}/${REPUTATION_FILE}`, { version: VERSION, peers });
  }
}

function parseRecord(entry: unknown): [string, PeerRecord] | null {
  const fields = (entry ?? {}) as Record<string, unknown>;
  const { id, succeeded, failed, refused, failed_in_row, avoid_until, latency_ms } = fields;
  const counts = [succeeded, failed, refused, failed_in_row, latency_ms ?? 0];
  const isCount = (value: unknown) => typeof value === "number" && value >= 0 && value < 1e9;
  if (!counts.every(isCount) || !Number.isFinite(avoid_until)) return null;
  try {
    peerIdFromString(String(id));
  } catch {
    return null;
  }
  return [String(id), {
    succeeded: Number(succeeded),
    failed: Number(failed),
    refused: Number(refused),
    failedInRow: Number(failed_in_row),
    // The clock may have been wrong.
    avoidUntil: Math.min(Number(avoid_until), Date.now() + MAX_AVOID_MS),
    latencyMs: typeof latency_ms === "number" ? latency_ms : null,
  }];
}

/** Reads the entries of one of the two files; none if the file does not exist. */
async function readList(path: string, what: string): Promise<unknown[]> {
  const file = await readStateFile(path);
  if (file === undefined) return [];
  const { version, peers } = file as { version?: unknown; peers?: unknown };
  if (version !== VERSION || !Array.isArray(peers)) throw new TypeError(`not a ${what} file`);
  return peers;
}

/** Most saved peers: about ten Kademlia buckets, enough to fill the routing table at once. */
const MAX_SAVED_PEERS = 200;

/** Most addresses of a saved peer; an honest node has a handful. */
const MAX_ADDRESSES = 16;

/** Interval between saves, in milliseconds. */
const SAVE_MS = 5 * 60 * 1000;

/** Saved peers that are dialed at start. */
const REDIAL_PEERS = 8;

/** Peer with the time of its last connection, in Unix milliseconds. */
interface SavedPeer extends PeerInfo {
  lastSeen: number;
}

/** Options of {@linkcode PeerStateStore}. */
export interface PeerStateStoreOptions {
  stateDir: string;
  libp2p: Libp2p;
  reputation: Reputation;
  connections: ConnectionTracker;
  emit: EmitEvent;
  /** Stops the periodic saves. */
  signal: AbortSignal;
}

/** Restores and saves known peers and their reputation. Errors are reported as events: a node works without its state. */
export class PeerStateStore {
  #options: PeerStateStoreOptions;
  #redialed: Promise<unknown> = Promise.resolve();

  constructor(options: PeerStateStoreOptions) {
    this.#options = options;
  }

  /** Restores the state of the last run, dials its latest peers and saves periodically from then on. */
  async start(): Promise<void> {
    const { stateDir, libp2p, reputation, emit, signal } = this.#options;
    try {
      await reputation.load(stateDir);
      const peers = await readPeers(stateDir);
      for (const { id, multiaddrs } of peers) await libp2p.peerStore.merge(id, { multiaddrs });
      emit({ event: "peer-store", count: peers.length });
      this.#redialed = Promise.allSettled(
        peers.slice(0, REDIAL_PEERS).map(({ id }) => libp2p.dial(id, { signal })),
      );
    } catch (error) {
      // The next save replaces the invalid file.
      emit({ event: "peer-store", error_code: "state", reason: reasonOf(error) });
    }
    void this.#saveLoop();
  }

  /** Resolves when the latest peers of the last run have connected or failed to. */
  get redialed(): Promise<unknown> {
    return this.#redialed;
  }

  /** Saves the state now. */
  async save(): Promise<void> {
    const { stateDir, libp2p, reputation, connections, emit } = this.#options;
    try {
      await writePeers(stateDir, { store: libp2p.peerStore, seen: connections.seen });
      await reputation.save(stateDir);
    } catch (error) {
      emit({ event: "peer-store", error_code: "state", reason: reasonOf(error) });
    }
  }

  async #saveLoop(): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      await delay(SAVE_MS, { signal });
      if (signal.aborted) return;
      await this.save();
    }
  }
}

/** Reads the saved peers, the latest first. Invalid entries are skipped. */
async function readPeers(stateDir: string): Promise<SavedPeer[]> {
  const peers = await readList(`${stateDir}/${PEERS_FILE}`, "peer");
  return peers.slice(0, MAX_SAVED_PEERS).map(parsePeer).filter((peer) => peer !== null)
    .sort((a, b) => b.lastSeen - a.lastSeen);
}

function parsePeer(entry: unknown): SavedPeer | null {
  try {
    const { id, addresses, last_seen } = entry as Record<string, unknown>;
    if (typeof id !== "string" || !Array.isArray(addresses) || !Number.isFinite(last_seen)) {
      return null;
    }
    const multiaddrs = addresses.slice(0, MAX_ADDRESSES).map((text) => multiaddr(String(text)));
    return { id: peerIdFromString(id), multiaddrs, lastSeen: Number(last_seen) };
  } catch {
    return null;
  }
}

/** Writes the peers with the latest connections. `seen` maps peer ids to Unix milliseconds. */
async function writePeers(
  stateDir: string,
  { store, seen }: { store: PeerStore; seen: ReadonlyMap<string, number> },
): Promise<void> {
  const latest = [...seen].sort(([, a], [, b]) => b - a).slice(0, MAX_SAVED_PEERS);
  const peers: { id: string; addresses: string[]; last_seen: number }[] = [];
  for (const [id, lastSeen] of latest) {
    const addresses = await addressesOf(store, id);
    if (addresses.length > 0) peers.push({ id, addresses, last_seen: lastSeen });
  }
  await writeStateFile(`${stateDir}/${PEERS_FILE}`, { version: VERSION, peers });
}

async function addressesOf(store: PeerStore, id: string): Promise<string[]> {
  try {
    const { addresses } = await store.get(peerIdFromString(id));
    return addresses.slice(0, MAX_ADDRESSES).map((address) => address.multiaddr.toString());
  } catch {
    return []; // libp2p has evicted the peer.
  }
}
