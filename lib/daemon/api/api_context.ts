/**
 * What the routes of the API share.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import type { Identity } from "../../core/mod.ts";
import type { DaemonNetwork } from "../peers/mod.ts";
import type { Jobs } from "../jobs/mod.ts";
import type { JobStore } from "../store/mod.ts";

/** What the routes of the API share. */
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
