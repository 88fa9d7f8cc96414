/**
 * Sandbox: runs one module with limits, in a confined child process.
 *
 * @module
 */
export { describeStack } from "./backtrace.ts";
export { HashedStdin, hashInputs, type StdinSource } from "./job_inputs.ts";
export {
  type DeterministicJob,
  type FileInput,
  type JobExecutor,
  type JobExecutorOptions,
  type JobStatus,
  type LeftBehind,
  type SandboxEvent,
  type SandboxJob,
  type SandboxLimits,
  type SandboxOutcome,
  type SandboxUsage,
} from "./job_types.ts";
export { type Ceilings, DEFAULT_CEILINGS, limitsOf } from "./limits.ts";
export { localRuntime, type ReceiptFacts, receiptFields } from "./receipt_fields.ts";
export { rerun, type RerunOptions } from "./rerun.ts";
export { WASI_VERSIONS, wasiVersionOf } from "../wasm/mod.ts";
export {
  checkModule,
  checkModuleSections,
  executeJob,
  type ExecuteJobOptions,
  type JobResult,
  runJob,
  type RunJobOptions,
  streamJob,
} from "./run_job.ts";
