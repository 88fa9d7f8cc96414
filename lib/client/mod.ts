/**
 * Client of a daemon's local API, for the command line and other programs.
 *
 * @module
 */
export {
  connectDaemon,
  DaemonClient,
  type DaemonResult,
  type ListOptions,
  type PipeOptions,
  type SubmitOptions,
} from "./client.ts";
export { type FollowOptions } from "./follow_events.ts";
export { type DaemonAddress, findSocket, type RequestOptions } from "./daemon_transport.ts";
export {
  type ConfigInEffectJson,
  type JobDetailJson,
  type JobJson,
  type JobPageJson,
  type JobState,
  type JobTarget,
  type ListeningJson,
  type NodeJson,
  type ReadinessJson,
  type ReloadJson,
  type SubmitterUsageJson,
  type VersionJson,
} from "../api/mod.ts";
