/**
 * Peers of the last run, saved as one JSON file so that the next start finds the network quickly.
 *
 * @module
 */
import type { PeerInfo, PeerStore } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { readStateFile, writeStateFile } from "../../core/mod.ts";
import type { Libp2p } from "libp2p";
import type { ConnectionTracker } from "../connectivity/connection_tracker.ts";
import { type EmitEvent, reasonOf } from "../network_events.ts";
import type { Reputation } from "./reputation.ts";
import { sleep } from "../../util/async/mod.ts";

/** Name of the file in the state directory. */
export const PEERS_FILE = "peers.json";

/** Some ten buckets of Kademlia: enough to be back in the table at once. */
const MAX_PEERS = 200;
/** An honest node has a handful. */
const MAX_ADDRESSES = 16;
const VERSION = 1;

/** A peer and when it was last connected, in Unix milliseconds. */
export interface KnownPeer extends PeerInfo {
  lastSeen: number;
}

/**
 * Reads the peers of the last run, the latest first. Entries that make no sense are left out.
 *
 * @throws {Error} where the file as a whole cannot be read
 */
export async function readPeers(stateDir: string): Promise<KnownPeer[]> {
  const file = await readStateFile(`${stateDir}/${PEERS_FILE}`);
  if (file === undefined) return [];
  const { version, peers } = file as { version?: unknown; peers?: unknown };
  if (version !== VERSION || !Array.isArray(peers)) throw new TypeError("not a peer file");
  return peers.slice(0, MAX_PEERS).map(readPeer).filter((peer) => peer !== null)
    .sort((a, b) => b.lastSeen - a.lastSeen);
}

function readPeer(entry: unknown): KnownPeer | null {
  try {
    const { id, addresses, last_seen } = entry as Record<string, unknown>;
    if (typeof id !== "string" || !Array.isArray(addresses) || !Number.isFinite(last_seen)) {
      return null;
    }
    const multiaddrs: Multiaddr[] = addresses.slice(0, MAX_ADDRESSES).map((text) =>
      multiaddr(String(text))
    );
    return { id: peerIdFromString(id), multiaddrs, lastSeen: Number(last_seen) };
  } catch {
    return null;
  }
}

/**
 * Writes the peers that have been connected lately.
 *
 * @param seen Peer id to Unix milliseconds
 * @throws {Error} where the file cannot be written
 */
export async function writePeers(
  stateDir: string,
  { store, seen }: { store: PeerStore; seen: ReadonlyMap<string, number> },
): Promise<number> {
  const latest = [...seen].sort(([, a], [, b]) => b - a).slice(0, MAX_PEERS);
  const peers: { id: string; addresses: string[]; last_seen: number }[] = [];
  for (const [id, lastSeen] of latest) {
    const addresses = await addressesOf(store, id);
    if (addresses.length > 0) peers.push({ id, addresses, last_seen: lastSeen });
  }
  await writeStateFile(`${stateDir}/${PEERS_FILE}`, { version: VERSION, peers });
  return peers.length;
}

async function addressesOf(store: PeerStore, id: string): Promise<string[]> {
  try {
    const { addresses } = await store.get(peerIdFromString(id));
    return addresses.slice(0, MAX_ADDRESSES).map((address) => address.multiaddr.toString());
  } catch {
    return []; // Forgotten by libp2p since.
  }
}

const SAVE_MS = 5 * 60 * 1000;
/** Peers of the last run that are dialled at start. */
const REDIAL_PEERS = 8;

/** What a {@linkcode StateKeeper} works with. */
export interface StateKeeperOptions {
  stateDir: string;
  libp2p: Libp2p;
  reputation: Reputation;
  connections: ConnectionTracker;
  emit: EmitEvent;
  /** Ends it. */
  signal: AbortSignal;
}

/** Restores and saves. Faults are told, never thrown: a node can do without its memory. */
export class StateKeeper {
  #options: StateKeeperOptions;

  constructor(options: StateKeeperOptions) {
    this.#options = options;
  }

  /** Reads what the last run left, dials the latest peers, and saves from time to time. */
  async start(): Promise<void> {
    const { stateDir, libp2p, reputation, emit, signal } = this.#options;
    try {
      await reputation.load(stateDir);
      const peers = await readPeers(stateDir);
      for (const { id, multiaddrs } of peers) await libp2p.peerStore.merge(id, { multiaddrs });
      emit({ event: "peer_store", count: peers.length });
      for (const { id } of peers.slice(0, REDIAL_PEERS)) {
        libp2p.dial(id, { signal }).catch(() => {});
      }
    } catch (error) {
      // The next save replaces what could not be read.
      emit({ event: "peer_store", error_code: "state", reason: reasonOf(error) });
    }
    void this.#keep();
  }

  /** Saves now. */
  async save(): Promise<void> {
    const { stateDir, libp2p, reputation, connections, emit } = this.#options;
    try {
      await writePeers(stateDir, { store: libp2p.peerStore, seen: connections.seen });
      await reputation.save(stateDir);
    } catch (error) {
      emit({ event: "peer_store", error_code: "state", reason: reasonOf(error) });
    }
  }

  async #keep(): Promise<void> {
    const { signal } = this.#options;
    for (;;) {
      await sleep(SAVE_MS, signal);
      if (signal.aborted) return;
      await this.save();
    }
  }
}
