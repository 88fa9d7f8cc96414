/**
 * Inspects WebAssembly modules as bytes, before compilation.
 *
 * @module
 */
export { inspectModule, isComponent, WASI_VERSIONS, wasiVersionOf } from "./inspect.ts";
