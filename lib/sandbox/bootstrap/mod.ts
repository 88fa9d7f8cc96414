/**
 * Public entry point of the sandbox/bootstrap component.
 * @module
 */
export { EXECUTOR_COMMAND } from "./executor_name.ts";
export { bootstrapExecutor, type InitialRead } from "./first_read.ts";
export { FrameKind } from "./frame_kind.ts";
