/**
 * Job lifecycle: admission, queue, runs and persisted results.
 * @module
 */
export { NODE_CAPABILITIES, type Submission } from "./admission.ts";
export { Jobs } from "./jobs.ts";
export { type JobPipe, readInputs, type RunJob, type RunOnPeer } from "./job_runner.ts";
