/**
 * Puts those functions first that must be fast at once.
 *
 * V8 compiles a function quickly at first (Liftoff) and optimizes it once it is called often
 * (TurboFan); but it cannot replace one while it runs (on-stack replacement), so a function that is
 * called once and loops for long stays slow. Optimizing all at once (`--no-liftoff`) makes a large
 * program start ten times slower. With `--wasm-tier-mask-for-testing` the first {@linkcode EAGER_FUNCTIONS}
 * functions of each module are optimized when they are first called, the others as usual. Which those
 * are is chosen here, and they are moved there.
 *
 * What a module does is not changed, only the indices of its functions, which it cannot see: all uses
 * are written anew. Where anything is not understood, the module stays as it is, and runs slower.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { readSections } from "../sections.ts";
import { selectHotFunctions } from "./hot_functions.ts";
import { readCode } from "./code.ts";
import { orderFunctions } from "./order.ts";
import { findEntryPoints } from "./entry_points.ts";
import { rewriteModule } from "./rewrite.ts";
import { FrameMap } from "./frame_map.ts";

/**
 * Number of eager functions of a module: the first that are not imported. It equals the width of V8's tier
 * mask, which `TIER_MASK_FLAG` of the executor's command sets.
 */
export const EAGER_FUNCTIONS = 32;

/**
 * Larger code than this is left as it is. Reading takes 15 ms a MB, in which the executor cannot watch
 * the job, and as much memory again.
 */
const MAX_CODE_BYTES = 32 * 2 ** 20;

/** A module in its new order. */
export interface ReorderedModule {
  /** The module; the bytes given where nothing had to move, or something was not understood. */
  bytes: Uint8Array<ArrayBuffer>;
  /** From places in it to those in the bytes given; undefined if these were not understood. */
  frames: FrameMap | undefined;
}

/** Arranges a module. Anything may be given: what is no module comes back as it is. */
export function reorderFunctions(bytes: Uint8Array<ArrayBuffer>): ReorderedModule {
  try {
    return arrange(bytes) ?? { bytes, frames: undefined };
  } catch (error) {
    if (error instanceof PlasmError) return { bytes, frames: undefined };
    throw error;
  }
}

function arrange(bytes: Uint8Array<ArrayBuffer>): ReorderedModule | undefined {
  const sections = readSections(bytes);
  const section = sections.known.get("code");
  if (section === undefined || section.end - section.start > MAX_CODE_BYTES) return undefined;
  const code = readCode(bytes, section);
  if (code === undefined) return undefined;
  const { imported, roots } = findEntryPoints(bytes, sections);
  const chosen = selectHotFunctions(code, { imported, roots, places: EAGER_FUNCTIONS });
  const order = orderFunctions(chosen, { imported, count: code.count, places: EAGER_FUNCTIONS });
  const { bytes: arranged, starts } = order.changes
    ? rewriteModule(bytes, sections, { code, order })
    : { bytes, starts: code.start };
  return { bytes: arranged, frames: new FrameMap({ code, order, starts }) };
}
