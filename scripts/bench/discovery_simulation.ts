/**
 * Simulates the discovery of nodes in networks of many nodes, in one process: the DHT, the publisher and the search are
 * those of plasm, connections are simulated with a latency, and so is time: the figures do not depend on the machine.
 * Every node serves the DHT, as daemons do. At each size of the growing network, clients that have just joined search,
 * first while it is stable, then while nodes are killed and replaced. Prints a Markdown table.
 *
 *     deno run -P=test --no-prompt --unstable-net scripts/bench/discovery_simulation.ts [--seed N] [--minutes N] [--settled] NODES…
 *
 * @module
 */
import { start } from "@libp2p/interface";
import { parseArgs } from "@std/cli/parse-args";
import { type Identity, identityFromSecretKey } from "../../lib/core/identity.ts";
import { capabilityKey, topicsOf } from "../../lib/p2p/discovery/candidate.ts";
import {
  CAPABILITY_PROTOCOL,
  type CapabilityFields,
  serveCapability,
  signCapability,
} from "../../lib/p2p/discovery/capability.ts";
import { CapabilityPublisher } from "../../lib/p2p/discovery/capability_publisher.ts";
import { Discovery } from "../../lib/p2p/discovery/discovery.ts";
import type { NetworkEventDetails } from "../../lib/p2p/network_events.ts";
import { Reputation } from "../../lib/p2p/state/peer_state.ts";
import { delay, forEachLimited } from "../../lib/util/async/mod.ts";
import { FIELDS } from "../../tests/fixtures/p2p/identities.ts";
import { SimulatedHost, SimulatedNet } from "../../tests/fixtures/p2p/simulated_host.ts";
import { DhtRequests } from "./dht_requests.ts";
import { median } from "./row.ts";
import { settle } from "./settled_dht.ts";
import { VirtualClock } from "./virtual_clock.ts";

/** Nodes that new nodes and clients join by; they are never killed. */
const BOOTSTRAPS = 3;

/** One node in this many has the memory that the filter asks for: 5 %. */
const LARGE_EVERY = 20;

/** Memory of a job on a large node and on the others, in MiB. */
const LARGE_MB = 4096;
const SMALL_MB = 512;

/** Nodes that start at the same time. */
const PARALLEL_STARTS = 16;

/** Time between two searches during the churn, in milliseconds. */
const SEARCH_MS = 10_000;

/** Shortest and longest time of a message from one host to another, in milliseconds. */
const MIN_LATENCY_MS = 5;
const MAX_LATENCY_MS = 50;

/** What a simulation assumes. */
export interface Scenario {
  /** Numbers of nodes at which the growing network is measured, the smallest first. */
  sizes: readonly number[];
  /** Seed of the keys, of the latencies and of the choice of nodes. */
  seed: number;
  /**
   * Whether the first nodes start as if they had been up for a while, instead of one after the other: a network of a
   * thousand takes an hour of CPU time otherwise.
   * @default {false}
   */
  settled?: boolean;
  /** Minutes of churn. */
  minutes: number;
  /** Share of the nodes that is killed and replaced in a minute. @default {0.1} */
  churn?: number;
  /** Clients of each kind that search before the churn. @default {5} */
  clients?: number;
  /** Receives a line after each phase. @default {none} */
  log?: (line: string) => void;
}

/** One search of a client that joins for it. */
export interface SearchResult {
  found: number;
  /** Time from the client's start to its first node and to the last one, in milliseconds. */
  firstMs: number;
  totalMs: number;
  /** Requests to the DHT, and the longest chain of nodes of which one named the next. */
  requests: number;
  hops: number;
  /** Bytes sent and received. */
  bytes: number;
  /** Nodes that were asked for their document, and those of them that had been killed. */
  asked: number;
  dead: number;
}

/** What was measured at one size. */
export interface SimulationResult {
  nodes: number;
  /** Searches for 64 nodes, and for three that 5 % of the nodes match. */
  searches: SearchResult[];
  filtered: SearchResult[];
  /** Searches for 64 nodes during the churn. */
  churned: SearchResult[];
  /** Nodes that were killed and replaced. */
  replaced: number;
  /** Requests to the DHT that a node sends until its records are stored. */
  requestsToStart: number;
  /** Requests to the DHT that a node sends in a minute of churn. */
  requestsPerMinute: number;
  /** Connections of a node. */
  connections: number;
  /** Heap of a node, in KiB. */
  heapKb: number;
}

/** Pseudorandom numbers from 0 to 1 (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

/** Node of the simulation. */
interface SimulatedNode {
  host: SimulatedHost;
  requests: DhtRequests;
  isLarge: boolean;
  stopping: AbortController;
}

function fieldsOf(isLarge: boolean): CapabilityFields {
  return { ...FIELDS, limits: { ...FIELDS.limits, memory_mb: isLarge ? LARGE_MB : SMALL_MB } };
}

/** Nodes of one simulation. */
class Simulation {
  readonly #random: () => number;
  readonly #seed: number;
  readonly #net: SimulatedNet;
  readonly #boots: SimulatedHost[] = [];
  readonly #live: SimulatedNode[] = [];
  readonly #killed = new Set<string>();
  #count = 0;
  /** Requests of nodes that have been killed. */
  #requests = 0;

  constructor(seed: number) {
    this.#seed = seed;
    this.#random = randomFrom(seed);
    const range = MAX_LATENCY_MS - MIN_LATENCY_MS;
    this.#net = new SimulatedNet((from, to) => {
      const [a, b] = [from, to].map(({ peerId }) => peerId.toMultihash().bytes.at(-1)!);
      return Math.round(MIN_LATENCY_MS + ((a! ^ b!) / 255) * range);
    });
  }

  get size(): number {
    return this.#live.length;
  }

  /** Requests of all nodes, without those of clients. */
  get requests(): number {
    return this.#live.reduce((sum, { requests }) => sum + requests.count, this.#requests);
  }

  get connections(): number {
    return this.#live.reduce((sum, { host }) => sum + host.connectionCount, 0) / this.size;
  }

  async startBootstraps(): Promise<void> {
    for (let at = 0; at < BOOTSTRAPS; at++) this.#boots.push((await this.#start("server")).host);
  }

  /** Starts nodes as if they had been up for a while. */
  async startSettled(count: number): Promise<void> {
    const keys = await Promise.all(topicsOf(FIELDS).map(capabilityKey));
    const hosts = [...this.#boots];
    for (let at = 0; at < count; at++) {
      const identity = await this.#nextIdentity();
      const host = new SimulatedHost({ net: this.#net, identity, mode: "server" });
      const isLarge = at % LARGE_EVERY === 0;
      const document = await signCapability(fieldsOf(isLarge), {
        signer: identity,
        seq: 1,
        addresses: [],
        issuedAt: Date.now(),
        validityMs: 24 * 60 * 60_000,
      });
      host.handlers.set(CAPABILITY_PROTOCOL, (stream) => serveCapability(stream, document));
      const requests = new DhtRequests(host.node.dht);
      this.#live.push({ host, requests, isLarge, stopping: new AbortController() });
      hosts.push(host);
    }
    await settle(hosts, { keys, random: this.#random });
  }

  /** Starts a node and waits until its records are stored. */
  async startNode(isLarge: boolean): Promise<void> {
    const { host, identity } = await this.#start("server");
    const requests = new DhtRequests(host.node.dht);
    const stopping = new AbortController();
    const provided = Promise.withResolvers<void>();
    const publisher = new CapabilityPublisher({
      node: host.node,
      signer: identity,
      emit: ({ event, error_code }) => {
        if (event === "provide" && error_code === undefined) provided.resolve();
      },
      signal: stopping.signal,
    });
    host.handlers.set(
      CAPABILITY_PROTOCOL,
      (stream) => serveCapability(stream, publisher.document),
    );
    await publisher.publish(fieldsOf(isLarge));
    await provided.promise;
    this.#live.push({ host, requests, isLarge, stopping });
  }

  /** Kills a random node and starts another of its kind. */
  async replaceNode(): Promise<void> {
    const at = Math.floor(this.#random() * this.size);
    const [killed] = this.#live.splice(at, 1);
    await this.#kill(killed!);
    await this.startNode(killed!.isLarge);
  }

  async #kill({ host, requests, stopping }: SimulatedNode): Promise<void> {
    stopping.abort();
    await host.kill();
    this.#killed.add(host.peerId.toString());
    this.#requests += requests.count;
  }

  /** Searches with a client that joins the network for it. */
  async search(
    { minMemoryMb, limit }: { minMemoryMb?: number; limit: number },
  ): Promise<SearchResult> {
    const begin = performance.now();
    const { host } = await this.#start("client");
    const requests = new DhtRequests(host.node.dht);
    const events: NetworkEventDetails[] = [];
    const discovery = new Discovery({
      node: host.node,
      reputation: new Reputation(),
      recent: { add: () => {} },
      emit: (event) => events.push(event),
      joinFailure: () => Promise.resolve(undefined),
    });
    let found = 0;
    let firstMs = NaN;
    for await (const _ of discovery.find({ minMemoryMb }, { limit })) {
      if (found++ === 0) firstMs = performance.now() - begin;
    }
    const totalMs = performance.now() - begin;
    await host.kill();
    const dead =
      events.filter(({ event, error_code, peer_id }) =>
        event === "dial" && error_code !== undefined && this.#killed.has(peer_id!)
      ).length;
    const seen = events.filter(({ event }) => event === "capability-seen").length;
    const { count, hops } = requests;
    const { bytes } = host;
    return { found, firstMs, totalMs, requests: count, hops, bytes, asked: seen + dead, dead };
  }

  async stop(): Promise<void> {
    for (const node of this.#live) await this.#kill(node);
    for (const boot of this.#boots) await boot.kill();
  }

  async #nextIdentity(): Promise<Identity> {
    const text = new TextEncoder().encode(`plasm simulation ${this.#seed} ${this.#count++}`);
    return await identityFromSecretKey(
      new Uint8Array(await crypto.subtle.digest("SHA-256", text)),
    );
  }

  async #start(mode: "server" | "client") {
    const identity = await this.#nextIdentity();
    const host = new SimulatedHost({ net: this.#net, identity, mode });
    await start(host.node.dht);
    const boot = this.#boots[this.#count % BOOTSTRAPS] ?? this.#boots[0];
    if (boot !== undefined) {
      await host.peerStore.merge(boot.peerId, { multiaddrs: [boot.address] });
      await host.dial(boot.peerId);
    }
    return { host, identity };
  }
}

/** Runs one simulation and yields what it measured at each size. */
export async function* simulate(
  { sizes, seed, minutes, churn = 0.1, clients = 5, settled = false, log = () => {} }: Scenario,
): AsyncGenerator<SimulationResult> {
  using clock = new VirtualClock();
  const simulation = new Simulation(seed);
  try {
    await clock.run(simulation.startBootstraps());
    if (settled) await clock.run(simulation.startSettled(sizes[0] ?? 0));
    const { heapUsed } = Deno.memoryUsage();
    for (const nodes of sizes) {
      yield await clock.run(measure(simulation, { nodes, minutes, churn, clients, heapUsed, log }));
    }
  } finally {
    await clock.run(simulation.stop());
  }
}

interface MeasureOptions extends Required<Omit<Scenario, "sizes" | "seed" | "settled">> {
  nodes: number;
  /** Bytes of the heap before the first node. */
  heapUsed: number;
}

/** Starts nodes until there are as many as given, and measures. */
async function measure(
  simulation: Simulation,
  { nodes, minutes, churn, clients, heapUsed, log }: MeasureOptions,
): Promise<SimulationResult> {
  const { size, requests } = simulation;
  const added = Array.from({ length: nodes - size }, (_, at) => (size + at) % LARGE_EVERY === 0);
  await forEachLimited(added, {
    limit: PARALLEL_STARTS,
    task: async (isLarge) => {
      await simulation.startNode(isLarge);
      if (simulation.size % 50 === 0) log(`${simulation.size} nodes have started`);
    },
  });
  const requestsToStart = added.length === 0 ? 0 : (simulation.requests - requests) / added.length;
  const searches: SearchResult[] = [];
  const filtered: SearchResult[] = [];
  for (let at = 0; at < clients; at++) {
    searches.push(await simulation.search({ limit: 64 }));
    log(`64 nodes: ${JSON.stringify(searches.at(-1))}`);
    filtered.push(await simulation.search({ limit: 3, minMemoryMb: LARGE_MB }));
    log(`3 of 5 %: ${JSON.stringify(filtered.at(-1))}`);
  }
  const heapKb = (Deno.memoryUsage().heapUsed - heapUsed) / nodes / 1024;
  const { connections } = simulation;
  const rest = await runChurn(simulation, { minutes, churn, log });
  return { nodes, searches, filtered, requestsToStart, connections, heapKb, ...rest };
}

/** Replaces nodes at an even rate while clients search. */
async function runChurn(
  simulation: Simulation,
  { minutes, churn, log }: { minutes: number; churn: number; log: (line: string) => void },
): Promise<Pick<SimulationResult, "churned" | "replaced" | "requestsPerMinute">> {
  const churned: SearchResult[] = [];
  const count = Math.round(minutes * simulation.size * churn);
  const intervalMs = minutes * 60_000 / count;
  const before = simulation.requests;
  const begin = performance.now();
  const ended = new AbortController();
  const searching = (async () => {
    while (!ended.signal.aborted) {
      churned.push(await simulation.search({ limit: 64 }));
      log(`in churn: ${JSON.stringify(churned.at(-1))}`);
      await delay(SEARCH_MS, { signal: ended.signal });
    }
  })();
  const replacing = new Set<Promise<void>>();
  for (let replaced = 0; replaced < count; replaced++) {
    await delay(Math.max(0, begin + replaced * intervalMs - performance.now()));
    const task = simulation.replaceNode().finally(() => replacing.delete(task));
    replacing.add(task);
  }
  await Promise.all(replacing);
  ended.abort();
  await searching;
  const taken = (performance.now() - begin) / 60_000;
  if (count > 0) log(`${count} nodes were replaced in ${taken.toFixed(1)} minutes`);
  const requestsPerMinute = (simulation.requests - before) / taken / simulation.size;
  return { churned, replaced: count, requestsPerMinute };
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(2)} s`;
}

/** Fewest nodes that a search found, and the median time. */
function describe(results: readonly SearchResult[]): string {
  const fewest = Math.min(...results.map(({ found }) => found));
  return `${fewest} in ${seconds(median(results.map(({ totalMs }) => totalMs)))}`;
}

function row({ nodes, ...result }: SimulationResult): string {
  const { searches, filtered, churned } = result;
  const middle = (figure: keyof SearchResult) => median(searches.map((found) => found[figure]));
  const sum = (figure: "asked" | "dead") => churned.reduce((all, found) => all + found[figure], 0);
  return `| ${
    [
      nodes,
      seconds(middle("firstMs")),
      describe(searches),
      describe(filtered),
      middle("hops"),
      middle("requests"),
      `${Math.round(middle("bytes") / 1024)} KiB`,
      churned.length === 0
        ? "–"
        : `${describe(churned)}; ${sum("dead")} of ${sum("asked")} asked were dead`,
      result.requestsToStart === 0 ? "–" : result.requestsToStart.toFixed(0),
      result.requestsPerMinute.toFixed(0),
      result.connections.toFixed(0),
      `${result.heapKb.toFixed(0)} KiB`,
    ].join(" | ")
  } |`;
}

if (import.meta.main) {
  const { _: counts, seed = "1", minutes = "3", settled } = parseArgs(Deno.args, {
    string: ["seed", "minutes"],
    boolean: ["settled"],
  });
  // The DHT shuffles its queries.
  Math.random = randomFrom(Number(seed));
  const heads = [
    ..."nodes|first node|64 nodes|3 of 5 %|hops|requests|bytes|64 nodes in churn".split("|"),
    ..."requests to start|requests a minute|connections|heap of a node".split("|"),
  ];
  console.log(`| ${heads.join(" | ")} |\n|${" ---: |".repeat(heads.length)}`);
  const scenario = {
    sizes: counts.map(Number),
    settled: settled === true,
    seed: Number(seed),
    minutes: Number(minutes),
  };
  for await (const result of simulate({ ...scenario, log: (line) => console.error(line) })) {
    console.log(row(result));
  }
  Deno.exit(); // libp2p leaves timers.
}
