/**
 * The client of a daemon's local API: what the command line and other Deno programs use.
 * @module
 */
export { connectDaemon, DaemonClient, type DaemonResult, type ListOptions } from "./client.ts";
export { type DaemonEvent, type FollowOptions } from "./follow_events.ts";
export { type PipeEvent, type PipeOptions } from "./pipe.ts";
export { type PipeInput } from "./pipe_sender.ts";
export { type InputReader } from "../util/mod.ts";
export { type DaemonAddress, type RequestOptions } from "./daemon_transport.ts";
export {
  type JobDetailJson,
  type JobJson,
  type JobPageJson,
  type JobState,
  type JobTarget,
  type NodeJson,
  type ReadinessJson,
  type VersionJson,
} from "../api/mod.ts";
export type { SubmitOptions } from "./submission.ts";
