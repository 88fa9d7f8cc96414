/**
 * Measures how costs grow with the size of the routing table and the number of connections.
 *
 * @module
 */
import type { PeerId } from "@libp2p/interface";
import type { PlasmNode } from "../../lib/p2p/libp2p_node.ts";
import { benchNode, type Note, type Sample, somePeers } from "./peer_growth.ts";
import type { BenchSectionOptions } from "./row.ts";

/** Peers offered to the table, which stores 20 per distance. */
export const OFFERED_COUNTS = [10, 100, 1000, 10_000];
/** Concurrent connections; the default limit of a node is 256. */
export const CONNECTED_COUNTS = [2, 10, 50, 250];

/** Peers that connect and disconnect at each size. */
const SHORT_CONNECTIONS = 20;

/** Internal components of the DHT. */
interface Table {
  size: number;
  kb: {
    add(peer: PeerId): Promise<void>;
    closest(id: Uint8Array): Iterable<PeerId>;
    verify(): Promise<boolean>;
    ping(): AsyncIterable<never>;
  };
}

/** Measures the routing table against the number of offered peers, all of them alive. */
export async function tableCurves(
  { signal }: BenchSectionOptions,
  { note, sample }: { note: Note; sample: Sample },
): Promise<void> {
  const peers = await somePeers(OFFERED_COUNTS.at(-1)!);
  const { dht } = await benchNode();
  const { kb } = (dht as unknown as { routingTable: Table }).routingTable;
  // Not listening: only the table is measured.
  kb.verify = () => Promise.resolve(true);
  kb.ping = async function* () {};
  let offered = 0;
  for (const count of OFFERED_COUNTS) {
    const start = performance.now();
    const before = offered;
    for (; offered < count; offered++) {
      signal.throwIfAborted();
      await kb.add(peers[offered]!);
    }
    note("offer a peer", (performance.now() - start) * 1000 / (count - before));
    const id = crypto.getRandomValues(new Uint8Array(32));
    note("the nearest to a key", await sample(() => [...kb.closest(id)]));
  }
}

/** Measures a node on loopback TCP against its number of connections. */
export async function connectionCurves(
  { signal }: BenchSectionOptions,
  { note, sample }: { note: Note; sample: Sample },
): Promise<void> {
  const node = await benchNode({ listen: ["/ip4/127.0.0.1/tcp/0"] });
  const peers: PlasmNode[] = [];
  const join = async (): Promise<PlasmNode> => {
    signal.throwIfAborted();
    const peer = await benchNode({ mode: "client" });
    await peer.libp2p.start();
    await peer.libp2p.dial(node.libp2p.getMultiaddrs());
    return peer;
  };
  try {
    await node.libp2p.start();
    for (const count of CONNECTED_COUNTS) {
      while (peers.length < count) peers.push(await join());
      const some = (n: number): PlasmNode => peers[n * 7919 % count]!;
      note("a ping from a peer", await sample((n) => some(n).ping.ping(node.libp2p.peerId)));
      note(
        "find a peer's connections",
        await sample((n) => node.libp2p.getConnections(some(n).libp2p.peerId)),
      );
      const start = performance.now();
      for (let n = 0; n < SHORT_CONNECTIONS; n++) await (await join()).libp2p.stop();
      note("connect and disconnect a peer", (performance.now() - start) * 1000 / SHORT_CONNECTIONS);
    }
  } finally {
    for (const { libp2p } of [...peers, node]) await libp2p.stop();
  }
}
