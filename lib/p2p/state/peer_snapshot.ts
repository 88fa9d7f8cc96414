/**
 * The peers of the last run, which make the next start quick: kept as one JSON file.
 * @module
 */
import type { PeerInfo, PeerStore } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { readStateFile, writeStateFile } from "../../core/mod.ts";

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
