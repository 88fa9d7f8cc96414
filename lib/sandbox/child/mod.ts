/**
 * The executor: a child process that runs guests in its worker.
 *
 * @module
 */
export { runExecutor, type RunExecutorOptions } from "./executor_main.ts";
