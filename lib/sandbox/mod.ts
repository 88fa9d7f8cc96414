/**
 * Public entry point of the sandbox component.
 * @module
 */
export { DEFAULT_CEILINGS } from "./default_ceilings.ts";
export { hashInputs, type JobInputs } from "./job_inputs.ts";
export {
  type FileInput,
  type JobStatus,
  type SandboxEvent,
  type SandboxJob,
  type SandboxLimits,
  type SandboxOutcome,
  type SandboxUsage,
} from "./job_types.ts";
export { type Ceilings, limitsOf } from "./limits.ts";
export {
  type JobEvent,
  type JobResult,
  receiptOutcome,
  runJob,
  type RunJobOptions,
  streamJob,
} from "./run_job.ts";
export { type ExecutorSource } from "./run_module.ts";
export { localRuntime } from "./runtime.ts";
export { HashedStdin, type StdinSource } from "./stdin_hash.ts";
