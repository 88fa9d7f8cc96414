/**
 * Measures how a search finds nodes in networks of many nodes, in one process with in-memory connections and real
 * libp2p: three nodes form the DHT and store the records, the others run jobs.
 *
 * Run: `deno run -P=test --no-prompt --unstable-net scripts/bench/many_nodes.ts 50 100 200`
 *
 * @module
 */
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { createNetwork, type NetworkOptions, type PlasmNetwork } from "../../lib/p2p/network.ts";
import { FIELDS } from "../../tests/fixtures/p2p/identities.ts";
import { memory } from "../../tests/fixtures/p2p/memory_transport.ts";

/** Nodes of the DHT. */
const SERVERS = 3;

/** One node in this many has the memory that the filter asks for: 5 %. */
const LARGE_EVERY = 20;

/** Share of the nodes that stop between two searches: one in this many. */
const STOPPED_EVERY = 10;

const TRANSPORTS = [memory()] as unknown as NetworkOptions["transports"];

async function start(options: Partial<NetworkOptions>): Promise<PlasmNetwork> {
  return await createNetwork({
    identity: await ephemeralIdentity(),
    mode: "client",
    transports: TRANSPORTS,
    nat: { autonat: false, relay: false, relayServer: false },
    limits: { inboundPerSecond: 100_000, connections: 4096 },
    ...options,
  });
}

/** Starts a node that runs jobs and waits until its records are stored. */
async function startNode(name: string, bootstrap: string, isLarge: boolean): Promise<PlasmNetwork> {
  const provided = Promise.withResolvers<void>();
  const node = await start({
    listen: [`/memory/${name}`],
    bootstrap: [bootstrap],
    log: ({ event }) => event === "provide" && provided.resolve(),
  });
  const memory_mb = isLarge ? 4096 : 512;
  await node.publish({ ...FIELDS, limits: { ...FIELDS.limits, memory_mb } });
  await provided.promise;
  return node;
}

/** Searches and returns the number of nodes found and the time in milliseconds. */
async function search(
  client: PlasmNetwork,
  { minMemoryMb, limit }: { minMemoryMb?: number; limit: number },
): Promise<string> {
  const begin = performance.now();
  const found = await Array.fromAsync(client.discover({ minMemoryMb }, { limit }));
  return `${found.length} in ${Math.round(performance.now() - begin)} ms`;
}

async function measure(count: number): Promise<void> {
  const servers: PlasmNetwork[] = [];
  for (let at = 0; at < SERVERS; at++) {
    const bootstrap = servers.slice(0, 1).map((node) => node.addresses()[0]!);
    servers.push(
      await start({ mode: "server", listen: [`/memory/${count}-server-${at}`], bootstrap }),
    );
  }
  const entries = servers.map((node) => node.addresses()[0]!);
  const nodes: PlasmNetwork[] = [];
  for (let at = 0; at < count; at++) {
    const isLarge = at % LARGE_EVERY === 0;
    nodes.push(await startNode(`${count}-${at}`, entries[at % SERVERS]!, isLarge));
  }
  const client = await start({ listen: [], bootstrap: [entries[0]!] });
  const first = await search(client, { limit: 64 });
  const filtered = await search(client, { limit: 3, minMemoryMb: 4096 });
  const stopped = nodes.filter((_, at) => at % STOPPED_EVERY === 1);
  await Promise.all(stopped.map((node) => node.stop()));
  const rest = await search(client, { limit: 1024 });
  const rss = Math.round(Deno.memoryUsage().rss / 2 ** 20);
  const left = count - stopped.length;
  console.log(
    `${count} nodes: 64 nodes: ${first}; 3 of 5 %: ${filtered}; all ${left} of them after ` +
      `${stopped.length} stopped: ${rest}; ${rss} MiB`,
  );
  for (const node of [client, ...nodes, ...servers]) await node.stop();
}

if (import.meta.main) {
  for (const text of Deno.args) await measure(Number(text));
  Deno.exit(); // libp2p leaves timers.
}
