/**
 * Dependencies shared by the API routes.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import type { JsonValue } from "../../core/errors/mod.ts";
import type { Identity } from "../../core/mod.ts";
import type { Jobs } from "../jobs/mod.ts";
import type { JobStore } from "../store/mod.ts";

/** Dependencies shared by the API routes. */
export interface ApiContext {
  store: JobStore;
  jobs: Jobs;
  identity: Identity;
  /** The configuration now; it may be reloaded. */
  config: () => Config;
  /** The text of `/metrics`. */
  metrics: () => string;
  /** The network, when the node has joined one. */
  network: DaemonNetwork | undefined;
  /** Event streams and piped runs that are open. */
  streams: { count: number };
  /** Aborts when the server stops: event streams end then. */
  stopping: AbortSignal;
}

/** A network that the node has joined. */
export interface DaemonNetwork extends AsyncDisposable {
  /** Peers that the node is connected to, for `GET /v1/peers`. */
  peers(): JsonValue[];
  /**
   * Finds nodes that run jobs, for `POST /v1/discover`: each as it answers.
   *
   * @throws {PlasmError} `usage` at once, before anything is looked for
   */
  discover(query: unknown, options: { signal: AbortSignal }): AsyncIterable<JsonValue>;
  /** What `GET /v1/node` tells: listen addresses, reachability. */
  status(): Record<string, JsonValue>;
}
