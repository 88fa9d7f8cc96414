/**
 * Public entry point of the api component.
 * @module
 */
export {
  type ApiEvent,
  type DiscoverQueryJson,
  type EventJson,
  type FoundNodeJson,
  isFinalEvent,
  type JobDetailJson,
  type JobJson,
  type JobPageJson,
  type JobPriority,
  type JobResultJson,
  type JobState,
  type JobTarget,
  type NodeJson,
  type OutputStream,
  type PeerJson,
  type ReadinessJson,
  type VersionJson,
} from "./api_types.ts";
export {
  encodePipeJson,
  PIPE_PROTOCOL,
  PipeConn,
  PipeFrame,
  type PipeHeader,
} from "./pipe_frames.ts";
