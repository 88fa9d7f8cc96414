/**
 * Executors from the host's side: the processes that run jobs, and the pool of them.
 *
 * @module
 */
export { Executor, type ExecutorOptions, lendOutput } from "./executor.ts";
export {
  type AcquireOptions,
  ExecutorPool,
  type ExecutorPoolOptions,
  type PoolStats,
} from "./pool.ts";
export { SpeculativeExecutor, type SpeculativeExecutorOptions } from "./speculative_executor.ts";
