/**
 * The contract of the local API: types generated from schemas/openapi.json, and the frames of piped runs.
 *
 * @module
 */
export {
  type DiscoverQueryJson,
  type EventJson,
  type FoundNodeJson,
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
} from "./api_types.gen.ts";
export { type ApiEvent, isFinalEvent } from "./events.ts";
export {
  encodePipeJson,
  PIPE_PROTOCOL,
  PipeConn,
  PipeFrame,
  type PipeHeader,
} from "./pipe_frames.ts";
