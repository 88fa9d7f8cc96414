/**
 * What the node's side of the job protocol is given and tells.
 * @module
 */
import type { JobHost, RemotePolicy } from "./job_host.ts";

/** What the server tells its owner; the daemon logs it. */
export interface ServeEvent {
  event: "offer-accepted" | "offer-refused" | "job-attached" | "job-forgotten" | "peer-misbehaved";
  peer_id: string;
  job_id?: string | undefined;
  error_code?: string | undefined;
  reason?: string | undefined;
}

/** Options of {@linkcode JobServer}. */
export interface JobServerOptions {
  host: JobHost;
  /** Asked at every decision, so that it may change. */
  policy: () => RemotePolicy;
  /** Unix milliseconds. @default {Date.now} */
  now?: (() => number) | undefined;
  /** Milliseconds of a steady clock. @default {performance.now} */
  steadyNow?: (() => number) | undefined;
  /** Receives events. Must not throw. @default {none} */
  log?: ((event: ServeEvent) => void) | undefined;
}

/** Options of {@linkcode JobServer.serve}. */
export interface ServeOptions {
  /** Asked before each conversation but the first: whether the peer may begin another. @default {it may} */
  mayAgain?: () => boolean;
}
