/**
 * Moves a module's hot functions to the indices that V8's tier mask compiles with the optimizing compiler on first
 * call. Background and figures: docs/adr/0002-tier-mask-and-reordering.md.
 *
 * Behaviour is unchanged: modules cannot observe function indices, and every use is rewritten. A module with
 * unknown contents is left as it is and runs slower. {@linkcode FrameMap} maps the locations of traps back.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { readSections } from "../sections.ts";
import { type Code, readCode } from "./code_section.ts";
import { findEntryPoints, selectHotFunctions } from "./hot_functions.ts";
import { type FunctionOrder, orderFunctions, rewriteModule } from "./rewrite.ts";
import { lebLength } from "../writer.ts";

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
  /**
   * 1 for each body of the reordered module that contains float arithmetic; undefined if the module has unknown
   * contents or instructions that the deterministic profile refuses.
   */
  arithmetic: Uint8Array | undefined;
  /** 1 for each body of the reordered module that contains `memory.grow`; undefined as `arithmetic`. */
  grows: Uint8Array | undefined;
}

const UNKNOWN = { frames: undefined, arithmetic: undefined, grows: undefined };

/** Reorders the functions of a module. Never throws on malformed input, which is returned unchanged. */
export function reorderFunctions(bytes: Uint8Array<ArrayBuffer>): ReorderedModule {
  try {
    return reorder(bytes) ?? { bytes, ...UNKNOWN };
  } catch (error) {
    if (error instanceof PlasmError) return { bytes, ...UNKNOWN };
    throw error;
  }
}

function reorder(bytes: Uint8Array<ArrayBuffer>): ReorderedModule | undefined {
  const sections = readSections(bytes);
  const section = sections.known.get("code");
  if (section === undefined || section.end - section.start > MAX_CODE_BYTES) return undefined;
  const { imported, entryPoints } = findEntryPoints(bytes, sections);
  const code = readCode(bytes, section, imported);
  if (code === undefined) return undefined;
  const slots = EAGER_FUNCTIONS;
  const selected = selectHotFunctions(code, { imported, entryPoints, slots });
  const order = orderFunctions(selected, { imported, count: code.count, slots });
  const { bytes: reordered, starts } = order.changes
    ? rewriteModule(bytes, sections, { code, order })
    : { bytes, starts: code.start };
  const frames = new FrameMap({ code, order, starts });
  if (code.unstable) return { ...UNKNOWN, bytes: reordered, frames };
  const bySlot = (flags: Uint8Array): Uint8Array =>
    new Uint8Array(starts.length).map((_, slot) =>
      flags[order.index(imported + slot) - imported] ?? 0
    );
  const [arithmetic, grows] = [bySlot(code.arithmetic), bySlot(code.grows)];
  return { bytes: reordered, frames, arithmetic, grows };
}

/** Offset of the code section's content in an accepted module. */
export function codeStart(bytes: Uint8Array): number {
  return readSections(bytes).known.get("code")?.start ?? 0;
}

/** A code location as in stack traces. */
export interface CodeLocation {
  /** Function index, counting imported functions. */
  index: number;
  /** Byte offset in the module. */
  offset: number;
}

/** Options of {@linkcode FrameMap}. */
export interface FrameMapOptions {
  /** Code section of the submitted module. */
  code: Code;
  /** Order of the functions in the reordered module. */
  order: FunctionOrder;
  /** Offset of each body in the reordered module. */
  starts: Uint32Array;
}

/** Maps code offsets of a reordered module back to the module as submitted. */
export class FrameMap {
  readonly #code: Code;
  readonly #order: FunctionOrder;
  readonly #starts: Uint32Array;

  constructor({ code, order, starts }: FrameMapOptions) {
    this.#code = code;
    this.#order = order;
    this.#starts = starts;
  }

  /** Location of an instruction in the submitted module; undefined if the offset is in no body. */
  original(offset: number): CodeLocation | undefined {
    const code = this.#code;
    const slot = this.#slotAt(offset);
    const body = this.#order.index(this.#order.imported + slot) - this.#order.imported;
    if (slot < 0 || body >= code.count) return undefined;
    // Distance from the start of the body, corrected for each index that changed its length in between.
    let within = offset - this.#starts[slot]!;
    const { references } = code;
    for (let at = code.firstReference[body]!; at < code.firstReference[body + 1]!; at++) {
      if (references.at[at]! - code.start[body]! >= within) break;
      const to = references.to[at]!;
      const now = this.#order.index(to);
      if (now !== to) within += references.length[at]! - lebLength(now);
    }
    return { index: this.#order.imported + body, offset: code.start[body]! + within };
  }

  /** Slot of the last body that starts at or before an offset; -1 if there is none. */
  #slotAt(offset: number): number {
    let low = 0;
    let high = this.#starts.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#starts[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}
