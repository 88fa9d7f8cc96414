/**
 * Job lifecycle: admission, queue, runs and persisted results.
 * @module
 */
export { NODE_CAPABILITIES, type Submission } from "./admission.ts";
export { Jobs } from "./jobs.ts";
export { type RunJob, type RunOnPeer } from "./job_runner.ts";
export type { JobPipe } from "./active_job.ts";
