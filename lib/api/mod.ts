/**
 * The contract of the local API: types generated from schemas/openapi.json, and the frames of piped runs.
 *
 * @module
 */
export {
  type ChangesJson,
  type ConfigInEffectJson,
  type DiscoverQueryJson,
  type EventJson,
  type EvidenceEntryJson,
  type FoundNodeJson,
  type JobDetailJson,
  type JobJson,
  type JobPageJson,
  type JobResultJson,
  type JobState,
  type JobTarget,
  type ListeningJson,
  type NodeJson,
  type NodeRecordJson,
  type PeerJson,
  type ReadinessJson,
  type ReloadJson,
  type SubmitterUsageJson,
  type VersionJson,
} from "./api_types.gen.ts";
export { encodePipeJson, PIPE_PROTOCOL, PipeConn, PipeFrame } from "./pipe_frames.ts";

/** Reports whether an event is the last of its job. */
export function isFinalEvent(event: { type: string; rerun?: boolean }): boolean {
  return event.type === "finished" || event.type === "failed" ||
    (event.type === "interrupted" && event.rerun === false);
}
