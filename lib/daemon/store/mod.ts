/**
 * Persistent job store: jobs, events, outputs, receipts and blobs.
 * @module
 */
export { type BlobInfo } from "./blob_store.ts";
export { stateError } from "./database.ts";
export {
  FINAL_STATES,
  type JobPriority,
  type JobRecord,
  type JobState,
  type JobTarget,
  type OutputStream,
  type RecordedEvent,
} from "./job_record.ts";
export { type Durability } from "./group_commit.ts";
export { type JobEnd } from "./job_table.ts";
export { applyRetention, startRetention } from "./retention.ts";
export { INLINE_OUTPUT_BYTES, JobStore, type OutputChunk } from "./store.ts";
