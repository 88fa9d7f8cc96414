/**
 * Joins the peer network: publishes capabilities, accepts jobs of peers, and discovers nodes.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import { parseArch } from "../../core/mod.ts";
import { type JsonValue, PlasmError } from "../../core/errors/mod.ts";
import { getLog } from "../../core/log/mod.ts";
import type { Identity } from "../../core/mod.ts";
import {
  type Candidate,
  type CapabilityFields,
  createNetwork,
  type DiscoverCriteria,
  type NetworkEventName,
  type PlasmNetwork,
  probeWasmFeatures,
} from "../../p2p/mod.ts";
import { AuditLedger, listEvidence, readEvidence } from "../../quorum/mod.ts";
import { serveJobs } from "../../remote/libp2p/mod.ts";
import { JobServer } from "../../remote/server/mod.ts";
import { localRuntime, rerun, WASI_VERSIONS } from "../../sandbox/mod.ts";
import { Executor } from "../../sandbox/host/mod.ts";
import type { DaemonNetwork } from "../api/mod.ts";
import { type Jobs, readInputs } from "../jobs/mod.ts";
import type { JobStore } from "../store/mod.ts";
import { AnonymousPool } from "./anonymous_pool.ts";
import { Auditor } from "./auditor.ts";
import { DonorPolicy } from "./donor_policy.ts";
import { nodeRecords } from "./node_records.ts";
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

/** Routine network events, logged at level debug. */
const ROUTINE_EVENTS: ReadonlySet<NetworkEventName> = new Set([
  "dial",
  "connect",
  "disconnect",
  "query",
  "provide",
  "capability-published",
  "capability-seen",
]);

/** Network events logged as warnings: this node refused a peer. */
const REFUSAL_EVENTS: ReadonlySet<NetworkEventName> = new Set(["refused", "capability-refused"]);

/** Events of the job server logged as warnings. */
const REFUSED_JOBS: ReadonlySet<string> = new Set(["offer-refused", "peer-misbehaved"]);

/** Interval at which a changed load is published, in milliseconds. */
const LOAD_MS = 5_000;

function capabilityOf(config: Config, jobs: Jobs, donor: DonorPolicy): CapabilityFields {
  const ceilings = remoteCeilings(config);
  const { waiting, running, concurrency } = jobs.load;
  return {
    runtime: localRuntime(),
    wasi: [...WASI_VERSIONS],
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
    availability: donor.availability,
  };
}

/**
 * Joins the configured network.
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
    privateAddresses: net.private_addresses,
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
      log[isRoutine ? "debug" : REFUSAL_EVENTS.has(event) ? "warning" : "info"](event, fields);
    },
  });
  try {
    const host = new RemoteHost({ store, jobs, config });
    await host.start();
    const donor = new DonorPolicy(config);
    await donor.refresh();
    if (donor.isBatteryUnknown) {
      log.warning("battery-unknown", { reason: "systemd-ac-power is not installed" });
    }
    const server = new JobServer({
      host,
      policy: () => remotePolicy(config(), donor.availability),
      log: ({ event, ...fields }) => {
        log[REFUSED_JOBS.has(event) ? "warning" : "info"](event, fields);
      },
    });
    await serveJobs(network, server);
    const ledger = await loadLedger(stateDir);
    const auditor = createAuditor(context, { network, ledger });
    jobs.setIdleEnd(() => auditor.interrupt());
    const anonymous = new AnonymousPool({ lists: () => config().network });
    jobs.setPeerRunner(peerRunner(network, { anonymous, ledger, auditor, stateDir }));
    const stopPublishing = await publishCapability(network, { ...context, donor });
    signal.addEventListener("abort", stopPublishing);
    return {
      ...daemonNetwork(network, { server, donor, auditor, ledger, stateDir }),
      async [Symbol.asyncDispose]() {
        stopPublishing();
        await auditor[Symbol.asyncDispose]();
        await server.close();
        await anonymous[Symbol.asyncDispose]();
        await network.stop();
      },
    };
  } catch (error) {
    await network.stop();
    throw error;
  }
}

/**
 * Updates the node's availability and, if the node provides, publishes its capability document again whenever that or
 * its load changes; returns a function that stops it.
 */
async function publishCapability(
  network: PlasmNetwork,
  { config, jobs, donor }: NetworkContext & { donor: DonorPolicy },
): Promise<() => void> {
  let published = "";
  const publish = async (): Promise<void> => {
    await donor.refresh();
    if (!config().network.provide) return;
    const fields = capabilityOf(config(), jobs, donor);
    const text = JSON.stringify(fields);
    if (text === published) return;
    published = text;
    await network.publish(fields);
  };
  await publish();
  const timer = setInterval(() => {
    publish().catch((error) => {
      getLog("network").error("capability-not-published", { error: PlasmError.from(error) });
    });
  }, LOAD_MS);
  return () => clearInterval(timer);
}

async function* candidates(
  found: AsyncIterable<Candidate> | Iterable<Candidate>,
): AsyncGenerator<JsonValue> {
  for await (const { peerId, latencyMs, score, transport, path, capability } of found) {
    const document: JsonValue = JSON.parse(JSON.stringify(capability));
    yield { peer_id: peerId, latency_ms: latencyMs, score, transport, path, capability: document };
  }
}

/** Reads the audit records of the last run; starts without any if they cannot be read. */
async function loadLedger(stateDir: string): Promise<AuditLedger> {
  const ledger = new AuditLedger();
  try {
    await ledger.load(stateDir);
  } catch (error) {
    getLog("network").error("audit-not-loaded", { error: PlasmError.from(error) });
  }
  return ledger;
}

/** Creates the auditor of a daemon, which runs jobs at idle priority in a separate executor. */
function createAuditor(
  { config, identity, jobs, store, stateDir }: NetworkContext,
  { network, ledger }: { network: PlasmNetwork; ledger: AuditLedger },
): Auditor {
  return new Auditor({
    ledger,
    config: () => config().network,
    stateDir,
    isIdle: () => jobs.isIdle,
    exists: (jobId) => store.get(jobId) !== undefined,
    async read(jobId) {
      const job = store.get(jobId);
      if (job === undefined) return undefined;
      const { manifest, moduleHash } = job;
      try {
        const module = await store.blobs.read(moduleHash, "module");
        return { manifest, module, inputs: await readInputs(job, store) };
      } catch (error) {
        // The cache has evicted it.
        if (error instanceof PlasmError && error.code === "not-found") return undefined;
        throw error;
      }
    },
    async rerun({ receipt, ...job }, { signal }) {
      const { ceilings } = config().jobs;
      const maxMemoryBytes = job.manifest.resources.memory_mb * 2 ** 20 + ceilings.fs_bytes;
      const executor = new Executor({ maxMemoryBytes, isIdle: true });
      try {
        return await rerun(receipt, { ...job, ceilings, executor, signer: identity, signal });
      } finally {
        await executor.kill();
      }
    },
    recordOutcome: (peerId, outcome) => network.recordOutcome(peerId, outcome),
    log: getLog("network"),
  });
}

/** What a network reports. */
interface ReportedParts {
  server: JobServer;
  donor: DonorPolicy;
  auditor: Auditor;
  ledger: AuditLedger;
  stateDir: string;
}

function daemonNetwork(
  network: PlasmNetwork,
  { server, donor, auditor, ledger, stateDir }: ReportedParts,
): Omit<DaemonNetwork, keyof AsyncDisposable> {
  return {
    peers: () =>
      network.peers().map(({ peerId, latencyMs, openedAt, ...peer }) => ({
        peer_id: peerId,
        ...peer,
        latency_ms: latencyMs,
        opened_at: new Date(openedAt).toISOString(),
      })),
    peerCount: () => network.peers().length,
    records: () => nodeRecords({ network, ledger }),
    evidence: () => listEvidence(stateDir),
    readEvidence: async (name) => {
      const evidence = await readEvidence(stateDir, name);
      return evidence === undefined ? undefined : JSON.parse(JSON.stringify(evidence));
    },
    discover(query, { signal }) {
      const { criteria, limit, timeoutMs, maxAgeMs } = readQuery(query);
      const recent = maxAgeMs === undefined
        ? []
        : network.recentCandidates(criteria, { maxAgeMs, limit });
      return candidates(
        recent.length > 0 ? recent : network.discover(criteria, { signal, limit, timeoutMs }),
      );
    },
    status: () => ({
      addresses: network.addresses(),
      ready: network.isReady(),
      reachability: { ...network.reachability() },
      bootstrap: network.bootstrap().map((status) => JSON.parse(JSON.stringify(status))),
      routing_table: network.routingTableSize(),
      remote_jobs: { ...server.counts },
      availability: { ...donor.availability },
      audit: auditor.status(),
    }),
    audits: () => ({
      counts: { ...auditor.counts },
      cpuSeconds: auditor.cpuSeconds,
      banned: ledger.banned().length,
    }),
  };
}

/** Parsed query of `POST /v1/discover`. */
export interface DiscoverQuery {
  criteria: DiscoverCriteria;
  limit: number | undefined;
  timeoutMs: number | undefined;
  /** Age up to which documents are returned without asking their nodes again. */
  maxAgeMs: number | undefined;
}

const isText = (value: unknown): boolean => typeof value === "string" && value.length <= 64;
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) > 0;
const isTexts = (value: unknown): boolean =>
  Array.isArray(value) && value.length <= 64 && value.every(isText);

/** JSON form of a query (schemas/openapi.json). */
interface QueryJson {
  arch?: string;
  runtime?: string;
  wasi?: string;
  features?: string[];
  min_memory_mb?: number;
  min_timeout_seconds?: number;
  min_cores?: number;
  limit?: number;
  timeout_seconds?: number;
  max_age_seconds?: number;
}

/** Maximum duration of a search, in seconds. */
const MAX_TIMEOUT_SECONDS = 600;

/** Maximum age of a document, in seconds. */
const MAX_AGE_SECONDS = 3600;

const FIELDS: Readonly<Record<keyof QueryJson, [(value: unknown) => boolean, string]>> = {
  arch: [isText, "a short text"],
  runtime: [isText, "a short text"],
  wasi: [isText, "a short text"],
  features: [isTexts, "a list of short texts"],
  min_memory_mb: [isCount, "a count"],
  min_timeout_seconds: [isCount, "a count"],
  min_cores: [isCount, "a count"],
  limit: [isCount, "a count"],
  timeout_seconds: [
    (value) => isCount(value) && (value as number) <= MAX_TIMEOUT_SECONDS,
    `a count up to ${MAX_TIMEOUT_SECONDS}`,
  ],
  max_age_seconds: [
    (value) => isCount(value) && (value as number) <= MAX_AGE_SECONDS,
    `a count up to ${MAX_AGE_SECONDS}`,
  ],
};

/**
 * Parses a query.
 *
 * @throws {PlasmError} `usage`
 */
export function readQuery(query: unknown): DiscoverQuery {
  if (typeof query !== "object" || query === null || Array.isArray(query)) {
    throw invalidQuery("query is not an object");
  }
  for (const [name, value] of Object.entries(query)) {
    if (!Object.hasOwn(FIELDS, name)) throw invalidQuery(`unknown field "${name.slice(0, 40)}"`);
    const [isRight, what] = FIELDS[name as keyof QueryJson];
    if (!isRight(value)) throw invalidQuery(`${name} is not ${what}`);
  }
  const { limit, timeout_seconds, max_age_seconds, ...rest }: QueryJson = query;
  return {
    criteria: {
      arch: rest.arch === undefined ? undefined : parseArch(rest.arch),
      runtime: rest.runtime,
      wasi: rest.wasi,
      features: rest.features,
      minMemoryMb: rest.min_memory_mb,
      minTimeoutSeconds: rest.min_timeout_seconds,
      minCores: rest.min_cores,
    },
    limit,
    timeoutMs: timeout_seconds === undefined ? undefined : timeout_seconds * 1000,
    maxAgeMs: max_age_seconds === undefined ? undefined : max_age_seconds * 1000,
  };
}

function invalidQuery(why: string): PlasmError {
  return new PlasmError("usage", `Cannot discover nodes: ${why}`, {
    hint: `A query may have ${Object.keys(FIELDS).join(", ")}`,
  });
}
