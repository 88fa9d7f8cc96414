/**
 * Brings simulated hosts into the state in which lookups would have left them, without the lookups: routing tables and
 * provider records of a network that has been up for a while.
 *
 * @module
 */
import { type PeerId, start } from "@libp2p/interface";
import type { CID } from "multiformats/cid";
import { sha256 } from "multiformats/hashes/sha2";
import type { SimulatedHost } from "../../tests/fixtures/p2p/simulated_host.ts";

/** Peers that store a record, and closest peers that a node knows: k of Kademlia. */
const CLOSEST = 20;

/** Random peers in a routing table, which its buckets limit. */
const RANDOM = 200;

/** Interval of a node's queries for itself and for its buckets, in milliseconds. */
const INTERVAL_MS = 5 * 60_000;

/** Parts of kad-dht that its interface hides. */
interface DhtParts {
  routingTable: {
    kb: { _add(peer: { peerId: PeerId; kadId: Uint8Array; lastPing: number }): Promise<void> };
  };
  querySelf: { initialInterval: number };
  queryManager: { initialQuerySelfHasRun?: unknown };
  routingTableRefresh: { afterStart(): void; refreshTable(isForced: boolean): void };
  providers: { addProvider(key: CID, peerId: PeerId): Promise<void> };
}

function partsOf({ node }: SimulatedHost): DhtParts {
  return node.dht as unknown as DhtParts;
}

interface Member {
  host: SimulatedHost;
  kadId: Uint8Array;
  /** First 32 bits of the id: enough to order a thousand. */
  prefix: number;
}

function prefixOf(kadId: Uint8Array): number {
  return new DataView(kadId.buffer, kadId.byteOffset).getUint32(0);
}

async function hash(bytes: Uint8Array): Promise<Uint8Array> {
  return (await sha256.digest(bytes)).digest;
}

/** Members in the order of their distance to a key. */
function closestTo(members: readonly Member[], prefix: number): Member[] {
  return members.map((member) => ({ member, distance: (member.prefix ^ prefix) >>> 0 }))
    .sort((a, b) => a.distance - b.distance).slice(0, CLOSEST).map(({ member }) => member);
}

/** Options of {@linkcode settle}. */
export interface SettleOptions {
  /** Keys under which each of the hosts is provided. */
  keys: readonly CID[];
  /** Random numbers from 0 to 1. */
  random: () => number;
}

/** Starts the DHT of hosts that have not been started, and fills it. */
export async function settle(
  hosts: readonly SimulatedHost[],
  { keys, random }: SettleOptions,
): Promise<void> {
  const members = await Promise.all(hosts.map(async (host): Promise<Member> => {
    const kadId = await hash(host.peerId.toMultihash().bytes);
    return { host, kadId, prefix: prefixOf(kadId) };
  }));
  for (const { host } of members) {
    const { querySelf, queryManager, routingTableRefresh } = partsOf(host);
    // Otherwise all would query at the same time.
    querySelf.initialInterval = random() * INTERVAL_MS;
    routingTableRefresh.afterStart = () =>
      void setTimeout(() => routingTableRefresh.refreshTable(true), random() * INTERVAL_MS);
    queryManager.initialQuerySelfHasRun = undefined;
    await start(host.node.dht);
  }
  for (const { host, prefix } of members) {
    const others = new Set(closestTo(members, prefix));
    for (let at = 0; at < RANDOM; at++) {
      others.add(members[Math.floor(random() * members.length)]!);
    }
    for (const other of others) if (other.host !== host) await introduce(host, other);
  }
  for (const key of keys) {
    const holders = closestTo(members, prefixOf(await hash(key.multihash.bytes)));
    for (const holder of holders) {
      for (const { host } of members) {
        await holder.host.peerStore.merge(host.peerId, { multiaddrs: [host.address] });
        await partsOf(holder.host).providers.addProvider(key, host.peerId);
      }
    }
  }
}

/** Adds a peer to the routing table of a host. */
async function introduce(host: SimulatedHost, { host: other, kadId }: Member): Promise<void> {
  const protocols = [...other.handlers.keys()];
  await host.peerStore.merge(other.peerId, { multiaddrs: [other.address], protocols });
  const peer = { peerId: other.peerId, kadId, lastPing: Date.now() };
  await partsOf(host).routingTable.kb._add(peer);
}
