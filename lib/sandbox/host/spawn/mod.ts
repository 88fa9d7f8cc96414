/**
 * Public entry point of the sandbox/host/spawn component.
 * @module
 */
export { type ExecutorCommandOptions } from "./executor_command.ts";
export { maskFromExecutors } from "./mount_masking.ts";
export { spawnExecutor } from "./process.ts";
