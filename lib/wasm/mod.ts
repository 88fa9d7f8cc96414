/**
 * Inspects WebAssembly modules as bytes, before compilation.
 *
 * @module
 */
export { inspectModule, isComponent } from "./inspect.ts";
