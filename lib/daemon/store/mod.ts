/**
 * Public entry point of the daemon/store component.
 * @module
 */
export { type BlobInfo } from "./blob_store.ts";
export { stateError } from "./database.ts";
export {
  FINAL_STATES,
  type JobEvent,
  type JobPriority,
  type JobRecord,
  type JobState,
  type JobTarget,
  type OutputStream,
} from "./job_record.ts";
export { type JobEnd } from "./job_table.ts";
export { applyRetention } from "./retention.ts";
export { lockStateDir } from "../state_dir.ts";
export { INLINE_OUTPUT_BYTES, JobStore, type OutputChunk } from "./store.ts";
