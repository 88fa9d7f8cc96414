/**
 * Says of a place in an arranged module where it was before.
 * @module
 */
import { lebLength } from "../writer.ts";
import type { Code } from "./code.ts";
import type { FunctionOrder } from "./order.ts";

/** A place in code, as stack traces name it. */
export interface CodePlace {
  /** Index of the function, imported ones counted. */
  index: number;
  /** Offset in the module, in bytes. */
  offset: number;
}

/** Options of {@linkcode FrameMap}. */
export interface FrameMapOptions {
  /** The code before. */
  code: Code;
  /** The order now. */
  order: FunctionOrder;
  /** Where each body begins now, by its place; imported functions not counted. */
  starts: Uint32Array;
}

/** A module's map from now to before. */
export class FrameMap {
  readonly #code: Code;
  readonly #order: FunctionOrder;
  readonly #starts: Uint32Array;

  constructor({ code, order, starts }: FrameMapOptions) {
    this.#code = code;
    this.#order = order;
    this.#starts = starts;
  }

  /** Where the instruction at an offset was before; undefined if the offset is in no body. */
  original(offset: number): CodePlace | undefined {
    const code = this.#code;
    const place = this.#placeAt(offset);
    const body = this.#order.index(this.#order.imported + place) - this.#order.imported;
    if (place < 0 || body >= code.count) return undefined;
    // How far the place was from its body's start: each index in between may have another length.
    let within = offset - this.#starts[place]!;
    const { references } = code;
    for (let at = code.firstReference[body]!; at < code.firstReference[body + 1]!; at++) {
      if (references.at[at]! - code.start[body]! >= within) break;
      const to = references.to[at]!;
      const now = this.#order.index(to);
      if (now !== to) within += references.length[at]! - lebLength(now);
    }
    return { index: this.#order.imported + body, offset: code.start[body]! + within };
  }

  /** The last body that starts at or before an offset; -1 if none does. */
  #placeAt(offset: number): number {
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
