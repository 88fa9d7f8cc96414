/**
 * WASI preview1 for one job over a private in-memory file tree.
 *
 * @module
 */
export { type FileInput } from "./fs/inputs.ts";
export { type WasiHost } from "./preview1/call_context.ts";
export { createWasi, type Wasi } from "./preview1/preview1.ts";
