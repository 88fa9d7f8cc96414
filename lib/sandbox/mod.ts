/**
 * Sandbox: runs one module with limits, in a confined child process.
 *
 * @module
 */
export { HashedStdin, hashInputs, type JobInputs, type StdinSource } from "./job_inputs.ts";
export {
  type FileInput,
  type JobExecutor,
  type JobExecutorOptions,
  type JobStatus,
  type SandboxEvent,
  type SandboxJob,
  type SandboxLimits,
  type SandboxOutcome,
  type SandboxUsage,
} from "./job_types.ts";
export { type Ceilings, DEFAULT_CEILINGS, limitsOf } from "./limits.ts";
export {
  type JobResult,
  localRuntime,
  receiptOutcome,
  runJob,
  type RunJobOptions,
  streamJob,
} from "./run_job.ts";
