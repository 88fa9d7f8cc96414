/**
 * Joins the peer network: publishes capabilities, accepts jobs of peers, and discovers nodes.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import { type JsonValue, PlasmError } from "../../core/errors/mod.ts";
import { getLog } from "../../core/log/mod.ts";
import type { Identity } from "../../core/mod.ts";
import {
  type Candidate,
  type CapabilityFields,
  createNetwork,
  type NetworkEventName,
  type PlasmNetwork,
  probeWasmFeatures,
} from "../../p2p/mod.ts";
import { serveJobs } from "../../remote/libp2p/mod.ts";
import { JobServer } from "../../remote/server/mod.ts";
import { localRuntime } from "../../sandbox/mod.ts";
import type { DaemonNetwork } from "../api/mod.ts";
import type { Jobs } from "../jobs/mod.ts";
import type { JobStore } from "../store/mod.ts";
import { readQuery } from "./discover_query.ts";
import { remoteCeilings, RemoteHost, remotePolicy } from "./remote_host.ts";
import { peerRunner } from "./remote_runner.ts";

/** Parts of the daemon that a network uses to run jobs. */
export interface NetworkContext {
  /** Current configuration; a reload may change it while the node runs. */
  config: () => Config;
  identity: Identity;
  jobs: Jobs;
  store: JobStore;
  stateDir: string;
  signal: AbortSignal;
}

/** Events of a network that works; `log.level` debug shows them. */
const ROUTINE_EVENTS: ReadonlySet<NetworkEventName> = new Set([
  "dial",
  "connect",
  "disconnect",
  "query",
  "provide",
  "capability_published",
  "capability_seen",
]);

/** Interval at which a changed load is published, in milliseconds. */
const LOAD_MS = 5_000;

function capabilityOf(config: Config, jobs: Jobs): CapabilityFields {
  const ceilings = remoteCeilings(config);
  const { waiting, running, concurrency } = jobs.load;
  return {
    runtime: localRuntime(),
    wasi: ["preview1"],
    features: probeWasmFeatures(),
    cpu_cores: navigator.hardwareConcurrency,
    memory_mb: config.jobs.memory_budget_mb,
    limits: {
      memory_mb: ceilings.memory_mb,
      timeout_seconds: ceilings.timeout_seconds,
      cpu_seconds: ceilings.cpu_seconds,
      output_bytes: ceilings.output_bytes,
      module_bytes: ceilings.module_bytes,
    },
    load: { running, queued: waiting, slots: concurrency },
  };
}

/**
 * Joins the network that the configuration names.
 *
 * @throws {PlasmError} `bad-config`, `busy`
 */
export async function joinPeerNetwork(context: NetworkContext): Promise<DaemonNetwork> {
  const { config, identity, jobs, store, stateDir, signal } = context;
  const { network: net } = config();
  const log = getLog("network");
  const network = await createNetwork({
    identity,
    listen: net.listen,
    announce: net.announce,
    bootstrap: net.bootstrap,
    mode: net.dht_server ? "server" : "client",
    mdns: net.mdns,
    nat: { upnp: net.upnp },
    limits: {
      connections: net.limits.connections,
      connectionsPerPeer: net.limits.connections_per_peer,
      inboundPerSecond: net.limits.inbound_per_second,
      streamsPerConnection: net.limits.streams_per_connection,
      dialTimeoutMs: net.limits.dial_timeout_seconds * 1000,
    },
    allow: net.allow,
    deny: net.deny,
    stateDir,
    log: ({ event, ...fields }) => {
      // Routine events are logged at debug level; failures always.
      const isRoutine = ROUTINE_EVENTS.has(event) && fields.error_code === undefined;
      log[isRoutine ? "debug" : "info"](event, fields);
    },
  });
  try {
    const host = new RemoteHost({ store, jobs, config });
    await host.start();
    const server = new JobServer({
      host,
      policy: () => remotePolicy(config()),
      log: ({ event, ...fields }) => {
        log[event === "peer-misbehaved" ? "warning" : "info"](event, fields);
      },
    });
    await serveJobs(network, server);
    jobs.setPeerRunner(peerRunner(network, () => config().network));
    const stopTelling = net.provide ? await tellCapability(network, context) : () => {};
    signal.addEventListener("abort", stopTelling);
    return {
      ...daemonNetwork(network, server),
      async [Symbol.asyncDispose]() {
        stopTelling();
        await server.close();
        await network.stop();
      },
    };
  } catch (error) {
    await network.stop();
    throw error;
  }
}

/** Publishes what the node can run, and again when its load has changed. */
async function tellCapability(
  network: PlasmNetwork,
  { config, jobs }: NetworkContext,
): Promise<() => void> {
  let told = "";
  const tell = async (): Promise<void> => {
    const fields = capabilityOf(config(), jobs);
    const text = JSON.stringify(fields);
    if (text === told) return;
    told = text;
    await network.publish(fields);
  };
  await tell();
  const timer = setInterval(() => {
    tell().catch((error) => {
      getLog("network").error("capability-not-told", { error: PlasmError.from(error) });
    });
  }, LOAD_MS);
  return () => clearInterval(timer);
}

async function* candidates(found: AsyncIterable<Candidate>): AsyncGenerator<JsonValue> {
  for await (const { peerId, latencyMs, score, transport, path, capability } of found) {
    const document: JsonValue = JSON.parse(JSON.stringify(capability));
    yield { peer_id: peerId, latency_ms: latencyMs, score, transport, path, capability: document };
  }
}

function daemonNetwork(
  network: PlasmNetwork,
  server: JobServer,
): Omit<DaemonNetwork, keyof AsyncDisposable> {
  return {
    peers: () =>
      network.peers().map(({ peerId, latencyMs, openedAt, ...peer }) => ({
        peer_id: peerId,
        ...peer,
        latency_ms: latencyMs,
        opened_at: new Date(openedAt).toISOString(),
      })),
    discover(query, { signal }) {
      const { criteria, limit, timeoutMs } = readQuery(query);
      return candidates(network.discover(criteria, { signal, limit, timeoutMs }));
    },
    status: () => ({
      addresses: network.addresses(),
      ready: network.isReady(),
      reachability: { ...network.reachability() },
      bootstrap: network.bootstrap().map((status) => JSON.parse(JSON.stringify(status))),
      routing_table: network.routingTableSize(),
      remote_jobs: { ...server.counts },
    }),
  };
}
