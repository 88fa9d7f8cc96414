/**
 * Types and keys of a node's configuration. schemas/config.json is the definition; a test compares the types with it.
 *
 * @module
 */
import schema from "../../schemas/config.json" with { type: "json" };
import { nearest } from "../util/mod.ts";

/** The most one job may ask for. */
export interface JobCeilings {
  /** Linear memory, in MiB. */
  memory_mb: number;
  /** Wall time, in seconds. */
  timeout_seconds: number;
  /** CPU time, in seconds. */
  cpu_seconds: number;
  /** CPU cores. */
  cpu_cores: number;
  /** stdout and stderr together, in bytes. */
  output_bytes: number;
  /** In-memory file system, inputs included, in bytes. */
  fs_bytes: number;
  /** Size of a module, in bytes. */
  module_bytes: number;
  /** stdin or one input file, in bytes. */
  input_bytes: number;
}

/** The local HTTP API. */
export interface ApiConfig {
  /** The API on loopback TCP, beside the unix socket. */
  tcp: { listen: string | null; token_file: string | null; allowed_origins: string[] };
  /** Largest JSON body of a request, in bytes. */
  request_bytes: number;
  /** Longest pause inside a request's body, in seconds. */
  idle_timeout_seconds: number;
  /** Event streams and piped runs open at once. */
  max_streams: number;
  /** Standard input of a piped run, and stdout and stderr together, in bytes: none is kept. */
  piped_bytes: number;
}

/** Running jobs. */
export interface JobsConfig {
  /** Jobs running at once; 0: one for each CPU core. */
  concurrency: number;
  /** Jobs waiting at once. */
  queue_max: number;
  /** Memory limits of all running jobs together, in MiB. */
  memory_budget_mb: number;
  /** Executors started ahead of need. */
  warm_executors: number;
  /** Whether an executor serves further jobs of the same submitter. */
  executor_sharing: "never" | "submitter";
  /** The most one job may ask for. */
  ceilings: JobCeilings;
}

/** What other peers may do here. */
export interface NetworkPolicyConfig {
  /** Who may submit jobs. */
  submit: "anyone" | "listed" | "nobody";
  /** Peer ids that may submit jobs when `submit` is `listed`. */
  submitters: string[];
  /** Jobs of one peer waiting or running at once. */
  jobs_per_peer: number;
  /** Bytes held for one peer at once. */
  bytes_per_peer: number;
  /** Accepted offers whose transfer has not ended, at once. */
  half_open_offers: number;
  /** How long a result waits for its client, in seconds. */
  result_seconds: number;
  /** How long a job runs on without its client, in seconds. */
  orphan_seconds: number;
  /** The most one job of a peer may ask for; null: as `jobs.ceilings`. */
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
  /** Multiaddrs told to others in place of those listened on. */
  announce: string[];
  /** Multiaddrs, with /p2p/, of the nodes to join through. */
  bootstrap: string[];
  /** Whether nodes on the same link are found by multicast DNS. */
  mdns: boolean;
  /** Whether the router is asked for a port by UPnP. */
  upnp: boolean;
  /** Whether the node advertises that it runs jobs. */
  provide: boolean;
  /** Whether the node answers DHT queries of others. */
  dht_server: boolean;
  /** Bounds on connections. */
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
  /** What other peers may do here. */
  policy: NetworkPolicyConfig;
}

/** The configuration of a node, complete with defaults. */
export interface Config {
  /** Directory for identity, job store and caches; null: the platform's place. */
  state_dir: string | null;
  /** Path of the local API's unix socket; null: the platform's place. */
  socket: string | null;
  /** The local HTTP API. */
  api: ApiConfig;
  /** Running jobs. */
  jobs: JobsConfig;
  /** How long finished jobs are kept. */
  retention: { age_seconds: number; bytes: number };
  /** Modules and inputs kept by hash. */
  cache: { max_bytes: number };
  /** Log lines on standard error. */
  log: { level: "debug" | "info" | "warning" | "error"; format: "auto" | "json" | "human" };
  /** Stopping. */
  shutdown: { grace_seconds: number };
  /** The peer-to-peer network. */
  network: NetworkConfig;
}

/** A value of one configuration key. */
export type ConfigValue = null | boolean | number | string | string[];

/** What one source says: dotted keys, such as `jobs.queue_max`, and their values. */
export type ConfigEntries = Record<string, ConfigValue>;

/** What the schema says about one key. */
export interface ConfigKey {
  /** Dotted name, such as `jobs.queue_max`. */
  name: string;
  /** JSON types that the key takes. */
  types: readonly string[];
  /** The value where nothing else is said. */
  default: ConfigValue;
  /** What the key means. */
  description: string;
  /** Whether SIGHUP applies a change. */
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

/** The schema, as printed by `plasm config schema`. */
export const CONFIG_SCHEMA: object = schema;

/** Every key, in the schema's order. */
export const CONFIG_KEYS: readonly ConfigKey[] = [...walk(schema as unknown as SchemaNode, "")];

/** Name of the environment variable that sets a key: `jobs.queue_max` is `PLASM_JOBS_QUEUE_MAX`. */
export function envName(key: string): string {
  return `PLASM_${key.replaceAll(".", "_").toUpperCase()}`;
}

/** The known name that was probably meant by one that is not known. */
export function nearestName(name: string, known: readonly string[]): string | undefined {
  // A right last part in the wrong section is nearer than any misspelling.
  const last = name.split(".").at(-1);
  return known.find((candidate) => candidate.split(".").at(-1) === last) ?? nearest(name, known);
}
