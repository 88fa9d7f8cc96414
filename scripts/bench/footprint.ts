/**
 * Measures the memory of an idle daemon (alone, with a warm executor, with peers) and its start-up time.
 *
 * @module
 */
import { createConnectionGater } from "../../lib/p2p/access/connection_gater.ts";
import { createNode, type PlasmNode } from "../../lib/p2p/libp2p_node.ts";
import { multiaddr } from "@multiformats/multiaddr";
import {
  childrenOf,
  figuresOf,
  type NodeProcess,
  type ProcessFigures,
  startNodeProcess,
} from "./node_process.ts";
import { type BenchRow, type BenchSection, median } from "./row.ts";

const PEERS = 20;
const STARTS = 5;

/** Settling time before measuring a process. */
const SETTLE_MS = 3000;

const NETWORK = {
  "network.enabled": "true",
  "network.listen": "/ip4/127.0.0.1/tcp/0",
  "network.mdns": "false",
  // All peers connect from one address.
  "network.limits.inbound_per_second": "1000",
};

function mib(value: number): string {
  return `${value.toFixed(value < 10 ? 1 : 0)} MiB`;
}

function memoryRow(what: string, { rss, own }: ProcessFigures): BenchRow {
  return { what, measured: mib(rss), against: `${mib(own)} private` };
}

/** Section `footprint`. */
export const footprint: BenchSection = async function* ({ binary, signal }) {
  const starts: number[] = [];
  for (let n = 0; n < STARTS; n++) {
    signal.throwIfAborted();
    await withNode({ binary, set: {} }, (node) => void starts.push(node.startMs));
  }
  yield { what: "start to ready", measured: `${median(starts).toFixed(0)} ms` };
  yield* await withNode({ binary, set: { "jobs.warm_executors": "0" } }, async ({ pid }) => {
    await settle();
    return [memoryRow("idle daemon, nothing warm", await figuresOf(pid))];
  });
  yield* await withNode({ binary, set: { "jobs.warm_executors": "1" } }, async ({ pid }) => {
    await settle();
    const rows = [memoryRow("idle daemon", await figuresOf(pid))];
    for (const child of await childrenOf(pid)) {
      const figures = await figuresOf(child);
      if (figures.rss > 20) rows.push(memoryRow("its warm executor", figures));
    }
    return rows;
  });
  const set = { ...NETWORK, "jobs.warm_executors": "1" };
  yield* await withNode({ binary, set }, async ({ pid, addresses }) => {
    await settle();
    const alone = await figuresOf(pid);
    const peers: PlasmNode[] = [];
    try {
      for (let n = 0; n < PEERS; n++) peers.push(await startPeer(addresses[0]!));
      await settle();
      const connected = await figuresOf(pid);
      return [
        memoryRow("daemon in a network, no peers", alone),
        memoryRow(`with ${PEERS} peers`, connected),
        { what: "each connection", measured: mib((connected.rss - alone.rss) / PEERS) },
      ];
    } finally {
      for (const { libp2p } of peers) await libp2p.stop();
    }
  });
};

async function withNode<T>(
  options: { binary: string | undefined; set: Record<string, string> },
  work: (node: NodeProcess) => T | Promise<T>,
): Promise<T> {
  const dir = await Deno.makeTempDir({ prefix: "pl" });
  try {
    await using node = await startNodeProcess({ dir, ...options });
    return await work(node);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Connects a peer and keeps the connection open. */
export async function startPeer(address: string): Promise<PlasmNode> {
  const node = await createNode({
    secretKey: crypto.getRandomValues(new Uint8Array(32)),
    listen: [],
    announce: [],
    mode: "client",
    allowPrivate: true,
    mdns: false,
    nat: { autonat: false, relay: false, relayServer: false },
    limits: {},
    gater: createConnectionGater({ emit: () => {} }),
  });
  await node.libp2p.start();
  await node.libp2p.dial(multiaddr(address));
  return node;
}

function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
}
