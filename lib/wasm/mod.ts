/**
 * Public entry point of the wasm component.
 * @module
 */
export { inspectModule } from "./inspect.ts";
