/**
 * Moves a module's hot functions to the indices that V8's tier mask compiles with the optimizing compiler on first
 * call. Background and figures: docs/adr/0002-tier-mask-and-reordering.md.
 *
 * Behaviour is unchanged: modules cannot observe function indices, and every use is rewritten. A module with
 * unknown contents is left as it is and runs slower.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { readSections } from "../sections.ts";
import { readCode } from "./code_section.ts";
import { FrameMap } from "./frame_map.ts";
import { findEntryPoints, selectHotFunctions } from "./hot_functions.ts";
import { orderFunctions, rewriteModule } from "./rewrite.ts";

/**
 * Number of eager functions of a module: the first ones that are not imported. It equals the width of V8's tier
 * mask (`TIER_MASK_FLAG` in sandbox/host/spawn; its unit test compares the two).
 */
export const EAGER_FUNCTIONS = 32;

/**
 * Largest code section that is reordered. Scanning takes 15 ms per MB, during which the child cannot monitor the
 * job, and needs as much memory again.
 */
const MAX_CODE_BYTES = 32 * 2 ** 20;

/** Result of {@linkcode reorderFunctions}. */
export interface ReorderedModule {
  /** The reordered module; the input bytes if nothing had to move or the module has unknown contents. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Maps code offsets back to the input; undefined if the module has unknown contents. */
  frames: FrameMap | undefined;
}

/** Reorders the functions of a module. Never throws on malformed input, which is returned unchanged. */
export function reorderFunctions(bytes: Uint8Array<ArrayBuffer>): ReorderedModule {
  try {
    return reorder(bytes) ?? { bytes, frames: undefined };
  } catch (error) {
    if (error instanceof PlasmError) return { bytes, frames: undefined };
    throw error;
  }
}

function reorder(bytes: Uint8Array<ArrayBuffer>): ReorderedModule | undefined {
  const sections = readSections(bytes);
  const section = sections.known.get("code");
  if (section === undefined || section.end - section.start > MAX_CODE_BYTES) return undefined;
  const code = readCode(bytes, section);
  if (code === undefined) return undefined;
  const { imported, entryPoints } = findEntryPoints(bytes, sections);
  const slots = EAGER_FUNCTIONS;
  const selected = selectHotFunctions(code, { imported, entryPoints, slots });
  const order = orderFunctions(selected, { imported, count: code.count, slots });
  const { bytes: reordered, starts } = order.changes
    ? rewriteModule(bytes, sections, { code, order })
    : { bytes, starts: code.start };
  return { bytes: reordered, frames: new FrameMap({ code, order, starts }) };
}
