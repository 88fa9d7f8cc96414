/**
 * What the routes of the API share.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import type { Identity } from "../../identity.ts";
import type { DaemonNetwork } from "../network.ts";
import type { Jobs } from "../jobs.ts";
import type { JobStore } from "../store/store.ts";

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
