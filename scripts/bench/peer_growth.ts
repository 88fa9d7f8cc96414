/**
 * Measures how the cost of peer store and provider operations grows with their size, on a real node's libp2p
 * components, filled without connections.
 *
 * @module
 */
import { generateKeyPair } from "@libp2p/crypto/keys";
import type { PeerId } from "@libp2p/interface";
import { peerIdFromPrivateKey } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import { capabilityKey } from "../../lib/p2p/discovery/candidate.ts";
import { createConnectionGater } from "../../lib/p2p/access/connection_gater.ts";
import { createNode, type PlasmNode } from "../../lib/p2p/libp2p_node.ts";
import { Reputation } from "../../lib/p2p/state/peer_state.ts";
import type { BenchSectionOptions } from "./row.ts";

/** Known peers; a node stores at most 16,384. */
export const PEER_COUNTS = [10, 100, 1000, 10_000];
/** Providers of one key; a node stores at most 16,384 records. */
export const PROVIDER_COUNTS = [10, 100, 1000, 10_000, 100_000];

/** Cost of an operation in µs, by name. */
export type Note = (step: string, micros: number) => void;
/** Records the median cost of an operation in µs. */
export type Sample = (work: (n: number) => unknown) => Promise<number>;

/** Internal components of the DHT. */
interface DhtParts {
  providers: {
    addProvider(key: Awaited<ReturnType<typeof capabilityKey>>, peer: PeerId): Promise<void>;
    getProviders(key: Awaited<ReturnType<typeof capabilityKey>>): Promise<PeerId[]>;
  };
}

/** Options of {@linkcode benchNode}. */
export interface BenchNodeOptions {
  /** Listen addresses. @default {none} */
  listen?: string[];
  /** DHT mode. @default {"server"} */
  mode?: "server" | "client";
}

/** Creates a node without background activity; it is not started. */
export async function benchNode(
  { listen = [], mode = "server" }: BenchNodeOptions = {},
): Promise<PlasmNode> {
  return await createNode({
    secretKey: crypto.getRandomValues(new Uint8Array(32)),
    listen,
    announce: [],
    mode,
    allowPrivate: true,
    mdns: false,
    nat: { autonat: false, relay: false, relayServer: false },
    limits: { connections: 1000, inboundPerSecond: 1000 },
    gater: createConnectionGater({ emit: () => {} }),
  });
}

/** Ids of peers that do not exist. */
export async function somePeers(count: number): Promise<PeerId[]> {
  const peers: PeerId[] = [];
  while (peers.length < count) peers.push(peerIdFromPrivateKey(await generateKeyPair("Ed25519")));
  return peers;
}

/** Measures the address book and the behaviour record against the number of known peers. */
export async function peerCurves(
  { signal }: BenchSectionOptions,
  { note, sample }: { note: Note; sample: Sample },
): Promise<void> {
  const peers = await somePeers(PEER_COUNTS.at(-1)! + 1000);
  const node = await benchNode();
  const { peerStore } = node.libp2p;
  const reputation = new Reputation();
  const addresses = [multiaddr("/ip4/192.0.2.1/tcp/4001"), multiaddr("/ip4/192.0.2.1/udp/1/noise")];
  let filled = 0;
  for (const count of PEER_COUNTS) {
    for (; filled < count; filled++) {
      signal.throwIfAborted();
      await peerStore.merge(peers[filled]!, { multiaddrs: addresses });
    }
    const some = (n: number): PeerId => peers[n * 7919 % count]!;
    note(
      "add an address of a peer",
      await sample((n) =>
        peerStore.merge(some(n), { multiaddrs: [multiaddr(`/ip4/192.0.2.2/tcp/${n + 1}`)] })
      ),
    );
    note("read a peer's addresses", await sample((n) => peerStore.get(some(n))));
    note(
      "note how a peer behaved",
      await sample((n) => reputation.recordLatency(some(n).toString(), n)),
    );
    const start = performance.now();
    const all = await peerStore.all();
    if (all.length !== count) throw new Error(`Peer store has ${all.length} of ${count} peers`);
    note("list them, each", (performance.now() - start) * 1000 / count);
  }
}

/** Measures provider records against their number, and against those of other keys. */
export async function providerCurves(
  { signal }: BenchSectionOptions,
  { note, sample }: { note: Note; sample: Sample },
): Promise<void> {
  const peers = await somePeers(PROVIDER_COUNTS.at(-1)!);
  const { dht } = await benchNode();
  const { providers } = dht as unknown as DhtParts;
  const key = await capabilityKey("arch:bench");
  const rare = await capabilityKey("arch:bench-rare");
  let filled = 0;
  for (const count of PROVIDER_COUNTS) {
    const start = performance.now();
    const before = filled;
    for (; filled < count; filled++) {
      signal.throwIfAborted();
      await providers.addProvider(key, peers[filled]!);
    }
    note("add a provider", (performance.now() - start) * 1000 / (count - before));
    const reading = performance.now();
    const found = await providers.getProviders(key);
    note("read the providers, each", (performance.now() - reading) * 1000 / found.length);
    for (const peer of peers.slice(0, 3)) await providers.addProvider(rare, peer);
    note("read another key's three", await sample(() => providers.getProviders(rare)));
  }
}
