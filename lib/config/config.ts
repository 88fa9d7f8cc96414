/**
 * Types and keys of a node's configuration. schemas/config.json is the definition; a test compares the types with it.
 *
 * @module
 */
import schema from "../../schemas/config.json" with { type: "json" };
import { didYouMean } from "../util/mod.ts";

/** Limits of one job. */
export interface JobCeilings {
  /** Total size of the linear memories, in MiB. */
  memory_mb: number;
  /** Wall-clock time, in seconds. */
  timeout_seconds: number;
  /** CPU time, in seconds. */
  cpu_seconds: number;
  /** CPU cores. */
  cpu_cores: number;
  /** Standard output and standard error together, in bytes. */
  output_bytes: number;
  /** Content of all output files together, in bytes. */
  output_files_bytes: number;
  /** In-memory file system, inputs included, in bytes. */
  fs_bytes: number;
  /** Size of the module, in bytes. */
  module_bytes: number;
  /** Standard input or one input file, in bytes. */
  input_bytes: number;
}

/** The local HTTP API. */
export interface ApiConfig {
  /** The API on loopback TCP, in addition to the unix socket. */
  tcp: { listen: string | null; token_file: string | null; allowed_origins: string[] };
  /** `GET /metrics` on a separate address, for other machines. */
  metrics: { listen: string | null; token_file: string | null };
  /** Maximum size of a request's JSON body, in bytes. */
  request_bytes: number;
  /** Maximum pause within a request's body, in seconds. */
  idle_timeout_seconds: number;
  /** Maximum number of open event streams and piped runs. */
  max_streams: number;
  /** Maximum size of the standard input of a piped run, and of its standard output and error together, in bytes. */
  piped_bytes: number;
}

/** Execution of jobs. */
export interface JobsConfig {
  /** Number of jobs that run at once; 0: one for each CPU core. */
  concurrency: number;
  /** Maximum number of queued jobs. */
  queue_max: number;
  /** Maximum sum of the memory limits of all running jobs, in MiB. */
  memory_budget_mb: number;
  /** Number of idle executors to start in advance. */
  warm_executors: number;
  /** Maximum size of the modules that idle executors keep compiled, in MiB of WebAssembly. */
  warm_modules_mb: number;
  /** Whether an executor runs further jobs of the same submitter. */
  executor_sharing: "never" | "submitter";
  /** Limits of one job. */
  ceilings: JobCeilings;
}

/** Permissions and limits of other peers. */
export interface NetworkPolicyConfig {
  /** Which peers may submit jobs. */
  submit: "anyone" | "listed" | "nobody";
  /** Peer ids that may submit jobs if `submit` is `listed`. */
  submitters: string[];
  /** Maximum number of queued and running jobs per peer. */
  jobs_per_peer: number;
  /** Maximum size of the modules, inputs and outputs stored per peer, in bytes. */
  bytes_per_peer: number;
  /** Maximum number of accepted offers whose transfer is incomplete. */
  half_open_offers: number;
  /** How long a result is stored for its client, in seconds. */
  result_seconds: number;
  /** How long a job continues after its client has disconnected, in seconds. */
  orphan_seconds: number;
  /** Hours of the day, in local time, in which jobs of peers are accepted, such as `22:00-06:00`; empty: always. */
  hours: string[];
  /** Whether jobs of peers are accepted while the machine runs on battery. */
  on_battery: boolean;
  /** Load average, in percent of the cores, above which `busy_cores_percent` applies; null: none. */
  busy_load_percent: number | null;
  /** Share of the cores for jobs of peers while the load is above `busy_load_percent`. */
  busy_cores_percent: number;
  /** Limits of one job of a peer; null: the value in `jobs.ceilings`. */
  ceilings: {
    memory_mb: number | null;
    timeout_seconds: number | null;
    cpu_seconds: number | null;
    output_bytes: number | null;
  };
}

/** The peer-to-peer network. */
export interface NetworkConfig {
  /** Whether the node joins the network. */
  enabled: boolean;
  /** Multiaddrs to listen on. */
  listen: string[];
  /** Multiaddrs to announce instead of those listened on. */
  announce: string[];
  /** Multiaddrs, including /p2p/, of the nodes to connect to first. */
  bootstrap: string[];
  /** Whether to discover nodes on the local network by multicast DNS. */
  mdns: boolean;
  /** Private addresses to dial when other nodes list them. */
  private_addresses: "last" | "near" | "never";
  /** Whether to request a port mapping from the router by UPnP. */
  upnp: boolean;
  /** Whether the node advertises that it runs jobs. */
  provide: boolean;
  /** Whether the node answers DHT queries. */
  dht_server: boolean;
  /** Share of the deterministic results of other nodes that is audited, in percent; 0: no audits. */
  audit: number;
  /** Maximum CPU time of audits in one hour, in seconds. */
  audit_cpu_seconds: number;
  /** Limits of connections. */
  limits: {
    connections: number;
    connections_per_peer: number;
    inbound_per_second: number;
    streams_per_connection: number;
    dial_timeout_seconds: number;
  };
  /** Peer ids that may connect; empty: all that are not denied. */
  allow: string[];
  /** Peer ids that may not connect. */
  deny: string[];
  /** Permissions and limits of other peers. */
  policy: NetworkPolicyConfig;
}

/** The configuration of a node, complete with defaults. */
export interface Config {
  /** Directory for the identity, the job store and the cache; null: the default directory. */
  state_dir: string | null;
  /** Path of the local API's unix socket; null: the default path. */
  socket: string | null;
  /** The local HTTP API. */
  api: ApiConfig;
  /** Execution of jobs. */
  jobs: JobsConfig;
  /** Retention of finished jobs. */
  retention: { age_seconds: number; bytes: number };
  /** Cache of modules and inputs, by hash. */
  cache: { max_bytes: number };
  /** Modules that the daemon downloads by reference. */
  modules: { hosts: string[] };
  /** Log on standard error. */
  log: { level: "debug" | "info" | "warning" | "error"; format: "auto" | "json" | "human" };
  /** Shutdown of the daemon. */
  exec: { linger_seconds: number };
  shutdown: { grace_seconds: number; idle_seconds: number };
  /** The peer-to-peer network. */
  network: NetworkConfig;
}

/** A value of one configuration key. */
export type ConfigValue = null | boolean | number | string | string[];

/** Keys and values of one source; keys are dotted, such as `jobs.queue_max`. */
export type ConfigEntries = Record<string, ConfigValue>;

/** One key of the schema. */
export interface ConfigKey {
  /** Dotted name, such as `jobs.queue_max`. */
  name: string;
  /** JSON types of the value. */
  types: readonly string[];
  /** Default value. */
  default: ConfigValue;
  /** Meaning of the key. */
  description: string;
  /** Whether a change applies on a reload instead of a restart. */
  live: boolean;
}

interface SchemaNode {
  type?: string | string[];
  default?: ConfigValue;
  description?: string;
  "x-reload"?: string;
  properties?: Record<string, SchemaNode>;
}

function* walk(node: SchemaNode, prefix: string): Generator<ConfigKey> {
  for (const [key, child] of Object.entries(node.properties ?? {})) {
    const name = prefix + key;
    if (child.properties !== undefined) {
      yield* walk(child, `${name}.`);
    } else if (child.default !== undefined) {
      yield {
        name,
        types: typeof child.type === "string" ? [child.type] : child.type ?? [],
        default: child.default,
        description: child.description ?? "",
        live: child["x-reload"] === "live",
      };
    }
  }
}

/** The schema; `plasm config schema` prints it. */
export const CONFIG_SCHEMA: object = schema;

/** Every key, in the schema's order. */
export const CONFIG_KEYS: readonly ConfigKey[] = [...walk(schema as unknown as SchemaNode, "")];

/** Name of the environment variable that sets a key: `jobs.queue_max` is `PLASM_JOBS_QUEUE_MAX`. */
export function envName(key: string): string {
  return `PLASM_${key.replaceAll(".", "_").toUpperCase()}`;
}

/** The known name that is most similar to an unknown one. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // The same last part in another section is a better guess than any misspelling.
  const last = name.split(".").at(-1);
  return known.find((candidate) => candidate.split(".").at(-1) === last) ?? didYouMean(name, known);
}
