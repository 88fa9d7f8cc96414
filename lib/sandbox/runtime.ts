/**
 * What runs jobs here, as receipts and adverts name it.
 * @module
 */
import { type Runtime, RUNTIME_NAME, VERSION } from "../core/mod.ts";

/** Program, engine and processor of this node. */
export function localRuntime(): Runtime {
  return {
    name: RUNTIME_NAME,
    version: VERSION,
    engine: `v8 ${Deno.version.v8}`,
    arch: Deno.build.arch,
  };
}
