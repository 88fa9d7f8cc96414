/**
 * WASI preview1 and 0.2 for one job over a private in-memory file tree.
 *
 * @module
 */
export { type FileInput } from "./fs/inputs.ts";
export {
  type CollectedOutputs,
  type CollectOutputsOptions,
  type LeftBehind,
  type LeftBehindEntry,
  MAX_OUTPUT_ENTRIES,
} from "./fs/outputs.ts";
export { type SharedTreePart } from "./fs/shared_tree.ts";
export { type DeterministicOptions, type WasiOptions } from "./job_system.ts";
export { type WasiHost } from "./wasi_host.ts";
export { createWasi, type Wasi } from "./preview1/preview1.ts";
export { createPreview2, type Preview2, type Preview2Host } from "./preview2/preview2.ts";
