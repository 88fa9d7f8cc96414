/**
 * Measures how the network scales: N nodes in one process join through one bootstrap node, provide and find, over
 * in-memory transports.
 *
 * @module
 */
import { connectBootstrap } from "../../lib/p2p/connectivity/bootstrap.ts";
import { capabilityKey } from "../../lib/p2p/discovery/candidate.ts";
import { createConnectionGater } from "../../lib/p2p/access/connection_gater.ts";
import { createNode, type PlasmNode } from "../../lib/p2p/libp2p_node.ts";
import { memory } from "../../tests/fixtures/p2p/memory_transport.ts";
import { type BenchRow, type BenchSection, median } from "./row.ts";

const COUNTS = [10, 30, 100];
const SAMPLES = 10;
/** Joining is complete when no routing table has grown for this long. */
const QUIET_MS = 2_000;

/** Section `network`. Figures are medians, with maxima in parentheses. */
export const network: BenchSection = async function* ({ signal }) {
  for (const count of COUNTS) yield* measure(count, signal);
};

interface Found {
  ms: number;
  hops: number;
  queried: number;
}

async function startNode(name: string, mode: "server" | "client"): Promise<PlasmNode> {
  const node = await createNode({
    secretKey: crypto.getRandomValues(new Uint8Array(32)),
    listen: mode === "server" ? [`/memory/${name}`] : [],
    announce: [],
    mode,
    allowPrivate: true,
    mdns: false,
    nat: { autonat: false, relay: false, relayServer: false },
    limits: { connections: 1000 },
    gater: createConnectionGater({ emit: () => {} }),
    transports: [memory()] as never,
  });
  await node.libp2p.start();
  return node;
}

function tableSize({ dht }: PlasmNode): number {
  return (dht as unknown as { routingTable: { size: number } }).routingTable.size;
}

async function untilQuiet(nodes: readonly PlasmNode[]): Promise<void> {
  let last = -1;
  for (;;) {
    const total = nodes.reduce((sum, node) => sum + tableSize(node), 0);
    if (total === last) return;
    last = total;
    await new Promise((resolve) => setTimeout(resolve, QUIET_MS));
  }
}

async function provide(node: PlasmNode, topic: `arch:${string}`): Promise<number> {
  const start = performance.now();
  for await (const _ of node.dht.provide(await capabilityKey(topic)));
  return performance.now() - start;
}

/** Finds one provider; a hop is a response that named the next peer queried. */
async function find(node: PlasmNode, topic: `arch:${string}`): Promise<Found> {
  const key = await capabilityKey(topic);
  const ended = new AbortController();
  const depth = new Map<string, number>();
  const start = performance.now();
  let queried = 0;
  try {
    for await (const event of node.dht.findProviders(key, { signal: ended.signal })) {
      const from = "from" in event ? event.from.toString() : "";
      const hops = depth.get(from) ?? 1;
      if (event.name === "PEER_RESPONSE") {
        queried++;
        for (const { id } of event.closer) {
          if (!depth.has(id.toString())) depth.set(id.toString(), hops + 1);
        }
        if (event.providers.length === 0) continue;
        return { ms: performance.now() - start, hops, queried };
      }
      // Answered from the local store.
      if (event.name === "PROVIDER") return { ms: performance.now() - start, hops: 0, queried };
    }
  } finally {
    ended.abort();
  }
  throw new Error(`No provider found for ${topic}`);
}

/** Formats the median and the maximum of the values. */
function spread(values: readonly number[]): string {
  return `${median(values).toFixed(0)} (${Math.max(...values).toFixed(0)})`;
}

async function* measure(count: number, signal: AbortSignal): AsyncGenerator<BenchRow> {
  const before = Deno.memoryUsage().rss;
  const stop = new AbortController();
  const first = await startNode("n0", "server");
  const nodes = [first];
  const addresses = [first.libp2p.getMultiaddrs()[0]!.toString()];
  const start = performance.now();
  for (let i = 1; i < count; i++) {
    const node = await startNode(`n${i}`, "server");
    nodes.push(node);
    connectBootstrap({ node, addresses, emit: () => {}, signal: stop.signal });
  }
  await untilQuiet(nodes);
  const joined = performance.now() - start - QUIET_MS;
  const memoryPerNode = (Deno.memoryUsage().rss - before) / count / 2 ** 20;

  const provided: number[] = [];
  const found: Found[] = [];
  for (let i = 0; i < SAMPLES; i++) {
    signal.throwIfAborted();
    const provider = nodes[(i * 7 + 1) % count]!;
    provided.push(await provide(provider, `arch:bench-${count}-${i}`));
    // A fresh peer that knows only the bootstrap node: the cost of a client's first search.
    const client = await startNode(`c${i}`, "client");
    await client.libp2p.dial(first.libp2p.getMultiaddrs());
    while (tableSize(client) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    found.push(await find(client, `arch:bench-${count}-${i}`));
    await client.libp2p.stop();
  }
  const what = `${count} nodes`;
  yield { what: `${what}: joined`, measured: `${joined.toFixed(0)} ms` };
  yield { what: `${what}: in a routing table`, measured: spread(nodes.map(tableSize)) };
  yield { what: `${what}: provide, ms`, measured: spread(provided) };
  const hops = `hops ${spread(found.map(({ hops }) => hops))}, peers queried ${
    spread(found.map(({ queried }) => queried))
  }`;
  const times = spread(found.map(({ ms }) => ms));
  yield { what: `${what}: find, fresh client, ms`, measured: times, against: hops };
  yield { what: `${what}: memory of each`, measured: `${memoryPerNode.toFixed(1)} MiB` };
  stop.abort();
  for (const node of nodes) await node.libp2p.stop();
}
