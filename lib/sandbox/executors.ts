/**
 * Entry point `./executor`: executor processes, their pool and the node's ceilings, for programs that host many jobs.
 *
 * @module
 */
export {
  type AcquireOptions,
  Executor,
  type ExecutorOptions,
  ExecutorPool,
  type ExecutorPoolOptions,
  type PoolStats,
} from "./host/mod.ts";
export { type StdinSource } from "./job_inputs.ts";
export {
  type CallLocation,
  type DeterministicJob,
  type FileInput,
  type JobExecutor,
  type JobExecutorOptions,
  type LeftBehind,
  type LeftBehindEntry,
  type SandboxEvent,
  type SandboxJob,
  type SandboxLimits,
  type SandboxOutcome,
  type SandboxUsage,
} from "./job_types.ts";
export { type Ceilings, DEFAULT_CEILINGS } from "./limits.ts";
