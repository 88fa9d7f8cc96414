/**
 * Applies the rewritings that a job asks for to its module.
 *
 * @module
 */
import { canonicalizeNaN } from "./canonicalize_nan.ts";
import { meterModule } from "./fuel.ts";
import { guardGrowth } from "./guard_growth.ts";
import type { InsertionMap } from "./insertion_map.ts";

/** Options of {@linkcode instrument}. */
export interface InstrumentOptions {
  /** Whether every NaN that arithmetic makes has one bit pattern wherever its bits can be seen. @default {false} */
  canonicalizeNaN?: boolean | undefined;
  /**
   * 1 for each body that contains float arithmetic, as `reorderFunctions()` returns; its bodies have no instructions that
   * the deterministic profile refuses.
   * @default {all bodies are read}
   */
  arithmetic?: Uint8Array | undefined;
  /** 1 for each body that contains `memory.grow`, as `reorderFunctions()` returns. @default {all bodies are read} */
  grows?: Uint8Array | undefined;
  /** Instructions of the module as given that it may execute. @default {not counted} */
  fuel?: number | undefined;
}

/** Result of {@linkcode instrument}. */
export interface InstrumentedModule {
  /** The rewritten module; the input bytes if nothing had to change. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Offset in the module as given of the instruction at an offset of the rewritten module. */
  original(offset: number): number;
  /** Whether the instruction at an offset of the rewritten module traps because the system refuses memory. */
  isRefusedGrowth(offset: number): boolean;
}

/**
 * Rewrites a module.
 *
 * @throws {PlasmError} `bad-module` if an instruction is unknown or a function would become too large
 */
export function instrument(
  given: Uint8Array<ArrayBuffer>,
  options: InstrumentOptions,
): InstrumentedModule {
  const { fuel, arithmetic, grows } = options;
  let bytes = given;
  const maps: (InsertionMap | undefined)[] = [];
  // First, so that no instructions of other rewritings are counted.
  if (fuel !== undefined) {
    const metered = meterModule(bytes, fuel);
    maps.unshift(metered.insertions);
    bytes = metered.bytes;
  }
  if (options.canonicalizeNaN) {
    const canonical = canonicalizeNaN(bytes, arithmetic);
    maps.unshift(canonical.insertions);
    bytes = canonical.bytes;
  }
  // Last, so that the offsets of its traps are those of the result.
  const guarded = guardGrowth(bytes, grows);
  maps.unshift(guarded.insertions);
  return {
    bytes: guarded.bytes,
    original: (offset) => maps.reduce((at, map) => map?.original(at) ?? at, offset),
    isRefusedGrowth: (offset) => guarded.traps.has(offset),
  };
}
