/**
 * Public entry point of the wasm/reorder component.
 * @module
 */
export { FrameMap } from "./frame_map.ts";
export { arrangeFunctions } from "./reorder.ts";
