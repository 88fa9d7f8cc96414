/**
 * Maps code offsets of a reordered module to the module as submitted.
 *
 * @module
 */
import { lebLength } from "../writer.ts";
import type { Code } from "./code_section.ts";
import type { FunctionOrder } from "./rewrite.ts";

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
