/**
 * Inspects WebAssembly modules as bytes, before compilation.
 *
 * @module
 */
export { inspectModule } from "./inspect.ts";
