/**
 * Compiles a module in the child process.
 *
 * @module
 */
import type { FrameMap } from "../../wasm/reorder/mod.ts";
import type { RefusedReport } from "../ipc/mod.ts";

/** A compiled module. */
export interface CompiledModule {
  /** What the worker instantiates. */
  module: WebAssembly.Module;
  /** Maps code offsets back to the module as submitted; undefined if it could not be reordered. */
  frames: () => Promise<FrameMap | undefined>;
}

/** Size up to which a module is compiled synchronously, in bytes: V8 then compiles functions on first call. */
const SYNC_COMPILE_BYTES = 64 * 1024;

/** Loads the reordering on demand: a child that receives a reordered module does not need it. */
export async function loadReorder(): Promise<typeof import("../../wasm/reorder/mod.ts")> {
  return await import("../../wasm/reorder/mod.ts");
}

/**
 * Reorders and compiles a module, or reports why V8 rejects it.
 *
 * @param given The result of `reorderFunctions()` on the same bytes, if the parent computed it.
 */
export async function compileModule(
  bytes: Uint8Array<ArrayBuffer>,
  given?: Uint8Array<ArrayBuffer>,
): Promise<CompiledModule | Omit<RefusedReport, "reusable">> {
  const reorder = async () => (await loadReorder()).reorderFunctions(bytes);
  const reordered = given ? undefined : await reorder();
  try {
    const source = given ?? reordered!.bytes;
    const module = source.length <= SYNC_COMPILE_BYTES
      ? new WebAssembly.Module(source)
      : await WebAssembly.compile(source);
    return { module, frames: async () => (reordered ?? await reorder()).frames };
  } catch {
    // Compile the module as submitted, so that V8's message has its function indices.
  }
  try {
    return { module: await WebAssembly.compile(bytes), frames: () => Promise.resolve(undefined) };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return {
      code: "bad-module",
      message: `Cannot compile module: ${reason.replace(/^WebAssembly\.compile\(\): /, "")}`,
    };
  }
}

/**
 * Maps the location at the end of a trap's reason to the module as submitted. Only its offset is used: the
 * runtime reports index 0 for every function.
 */
export function originalReason(reason: string, frames: FrameMap | undefined): string {
  return reason.replace(/wasm-function\[\d+\]:0x([0-9a-f]+)$/, (location, offset) => {
    const place = frames?.original(parseInt(offset, 16));
    return place ? `wasm-function[${place.index}]:0x${place.offset.toString(16)}` : location;
  });
}
