/**
 * Persistent job store: jobs, events, outputs, receipts and blobs.
 * @module
 */
export { type BlobInfo } from "./blob_store.ts";
export { refusePipes, stateError } from "./database.ts";
export {
  FINAL_STATES,
  type JobEnd,
  type JobRecord,
  type JobState,
  type JobTarget,
  type OutputStream,
  type RecordedEvent,
} from "./job_table.ts";
export { type Durability } from "./group_commit.ts";
export { applyRetention, startRetention } from "./retention.ts";
export { INLINE_OUTPUT_BYTES, JobStore, type OutputChunk } from "./store.ts";
export { type SubmitterUsage } from "./job_table.ts";
export { backUp, type BackUpOptions, type BackupSummary } from "./backup.ts";
