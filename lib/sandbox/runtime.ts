/**
 * What runs jobs here, as receipts and adverts name it.
 * @module
 */
import type { Runtime } from "../job/types.ts";
import { RUNTIME_NAME, VERSION } from "../version.ts";

/** Program, engine and processor of this node. */
export function localRuntime(): Runtime {
  return {
    name: RUNTIME_NAME,
    version: VERSION,
    engine: `v8 ${Deno.version.v8}`,
    arch: Deno.build.arch,
  };
}
