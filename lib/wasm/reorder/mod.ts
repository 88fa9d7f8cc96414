/**
 * Public entry point of the wasm/reorder component.
 * @module
 */
export { FrameMap } from "./frame_map.ts";
export { reorderFunctions } from "./reorder.ts";
