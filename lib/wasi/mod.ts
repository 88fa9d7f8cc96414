/**
 * Public entry point of the wasi component.
 * @module
 */
export { type FileInput } from "./fs/inputs.ts";
export { createWasi, type Wasi } from "./preview1/preview1.ts";
export { type WasiHost } from "./preview1/call_context.ts";
