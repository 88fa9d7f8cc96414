/**
 * Measures the memory of an idle daemon (alone, with a warm executor, with peers), its start-up time, and what it uses in
 * a network of 30 nodes once that has settled, which takes a quarter of an hour.
 *
 * @module
 */
import { createConnectionGater } from "../../lib/p2p/access/connection_gater.ts";
import { createNode, type PlasmNode } from "../../lib/p2p/libp2p_node.ts";
import { multiaddr } from "@multiformats/multiaddr";
import { delay } from "../../lib/util/async/mod.ts";
import { startLightPeers } from "./light_peers.ts";
import {
  childrenOf,
  cpuSecondsOf,
  figuresOf,
  type NodeProcess,
  type ProcessFigures,
  startNodeProcess,
} from "./node_process.ts";
import { type BenchRow, type BenchSection, median } from "./row.ts";

const PEERS = 20;
const STARTS = 5;

/** Nodes of the network in which one daemon is measured; the others share a process. */
const NETWORK_NODES = 30;

/** Minutes before a node counts as settled, at least and at most. */
const MIN_MINUTES = 10;
const MAX_MINUTES = 15;

/** CPU seconds by which two minutes may differ. */
const LEVEL_SECONDS = 0.05;

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
  yield* await withNode({ binary, set }, async ({ pid, addresses }) => {
    await using _peers = await startLightPeers(NETWORK_NODES - 1, addresses[0]!);
    const { minutes, cpuSeconds } = await untilSettled(pid, signal);
    const what = `in a network of ${NETWORK_NODES}, settled`;
    return [
      { ...memoryRow(`daemon ${what}`, await figuresOf(pid)), goal: "≤ 150 MiB" },
      {
        what: `CPU time ${what}`,
        measured: `${cpuSeconds.toFixed(2)} s/min`,
        against: `${minutes} minutes after the last node has joined`,
        goal: "≤ 0.3 s/min",
      },
    ];
  });
};

/**
 * Waits until a process uses as much CPU time in a minute as in the one before. Queries of the DHT become rarer for nine
 * minutes.
 */
async function untilSettled(
  pid: number,
  signal: AbortSignal,
): Promise<{ minutes: number; cpuSeconds: number }> {
  let before = await cpuSecondsOf(pid);
  let last = Infinity;
  for (let minutes = 1;; minutes++) {
    await delay(60_000, { signal });
    signal.throwIfAborted();
    const now = await cpuSecondsOf(pid);
    const used = now - before;
    const isLevel = Math.abs(used - last) <= LEVEL_SECONDS;
    if (minutes >= MAX_MINUTES || (minutes >= MIN_MINUTES && isLevel)) {
      return { minutes, cpuSeconds: used };
    }
    [before, last] = [now, used];
  }
}

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
