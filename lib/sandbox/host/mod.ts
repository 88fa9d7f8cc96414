/**
 * Public entry point of the sandbox/host component.
 * @module
 */
export {
  Executor,
  type ExecutorOptions,
  type ExecutorReadyOptions,
  type ExecutorRunOptions,
} from "./executor.ts";
export {
  type AcquireOptions,
  ExecutorPool,
  type ExecutorPoolOptions,
  type PoolStats,
} from "./pool.ts";
