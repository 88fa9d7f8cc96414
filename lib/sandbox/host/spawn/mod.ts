/**
 * Public entry point of the sandbox/host/spawn component.
 * @module
 */
export { type ExecutorCommandOptions } from "./executor_command.ts";
export { hideFromExecutors } from "./mount_masking.ts";
export { startExecutorProcess } from "./process.ts";
