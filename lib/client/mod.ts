/**
 * The client of a daemon's local API: what the command line and other Deno programs use.
 * @module
 */
export {
  connectDaemon,
  DaemonClient,
  type DaemonResult,
  type ListOptions,
  type SubmitOptions,
} from "./client.ts";
export type { DaemonEvent, FollowOptions } from "./events.ts";
export type { PipeEvent, PipeOptions } from "./pipe.ts";
export type { PipeInput } from "./pipe_sender.ts";
export type { InputReader } from "./read_ahead.ts";
export type { DaemonAddress, RequestOptions } from "./transport.ts";
export type {
  JobDetailJson,
  JobJson,
  JobPageJson,
  JobState,
  JobTarget,
  NodeJson,
  ReadinessJson,
  VersionJson,
} from "../api_types.ts";
