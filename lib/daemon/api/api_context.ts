/**
 * Defines what the routes of the API use of the daemon.
 * @module
 */
import type { EvidenceEntryJson, ListeningJson, NodeRecordJson } from "../../api/mod.ts";
import type { Config, LoadedConfig, ReloadPlan } from "../../config/mod.ts";
import type { JsonValue } from "../../core/errors/mod.ts";
import type { Identity } from "../../core/mod.ts";
import type { Jobs } from "../jobs/mod.ts";
import type { ModuleFetcher } from "../module_fetcher.ts";
import type { JobStore } from "../store/mod.ts";
import type { RefusalLog } from "./refusal_log.ts";

/** Dependencies shared by the API routes. */
export interface ApiContext {
  store: JobStore;
  jobs: Jobs;
  identity: Identity;
  /** Current configuration; a reload may change it. */
  config: () => Config;
  /** File and sources of the configuration. */
  origin: () => Pick<LoadedConfig, "file" | "sources">;
  /** State directory. */
  stateDir: string;
  /** Path of the Unix socket. */
  socket: string;
  /** Where the API listens. */
  listening: () => ListeningJson;
  /**
   * Reads the configuration again.
   *
   * @throws {PlasmError} `bad-config`, `conflict`
   */
  reload: () => Promise<ReloadPlan>;
  /** Logs refused requests. */
  refusals: RefusalLog;
  /** Number of executors. */
  executors: () => number;
  /** Renders `/metrics`. */
  metrics: () => string;
  /** Downloads modules by reference. */
  modules: ModuleFetcher;
  /** The peer network; `undefined` if the node has not joined one. */
  network: DaemonNetwork | undefined;
  /** Number of open event streams and piped runs. */
  streams: { count: number };
  /** Aborts when the server stops; ends event streams. */
  stopping: AbortSignal;
}

/** Peer network of the daemon. */
export interface DaemonNetwork extends AsyncDisposable {
  /** Lists connected peers, for `GET /v1/peers`. */
  peers(): JsonValue[];
  /** Number of open connections to peers. */
  peerCount(): number;
  /** Lists nodes with past results, for `GET /v1/nodes`. */
  records(): NodeRecordJson[];
  /** Lists stored evidence, for `GET /v1/evidence`. */
  evidence(): Promise<EvidenceEntryJson[]>;
  /** Reads stored evidence; undefined if there is none of that name. */
  readEvidence(name: string): Promise<JsonValue | undefined>;
  /**
   * Discovers nodes that run jobs, for `POST /v1/discover`; yields each as it responds.
   *
   * @throws {PlasmError} `usage` before the search starts
   */
  discover(query: unknown, options: { signal: AbortSignal }): AsyncIterable<JsonValue>;
  /** Network part of `GET /v1/node`: listen addresses, reachability. */
  status(): Record<string, JsonValue>;
  /** Figures of audits, for the metrics. */
  audits(): NetworkAudits;
}

/** Figures of audits of other nodes. */
export interface NetworkAudits {
  /** Number of audits by outcome. */
  counts: Readonly<Record<string, number>>;
  /** CPU time of all audits, in seconds. */
  cpuSeconds: number;
  /** Number of nodes that are banned now. */
  banned: number;
}
