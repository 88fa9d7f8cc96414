/**
 * Maps offsets of a module into which bytes were inserted back to the original.
 *
 * @module
 */

/** Where a rewriting inserted bytes. Both lists have one entry an insertion. */
export interface Insertions {
  /** Offsets in the original module, ascending. */
  places: Uint32Array;
  /** Offset after the inserted bytes of each, in the rewritten module. */
  ends: Uint32Array;
}

/** Maps offsets of instructions back; bytes that were inserted belong to the instruction before them. */
export class InsertionMap {
  readonly #insertions: Insertions;

  constructor(insertions: Insertions) {
    this.#insertions = insertions;
  }

  /** Offset in the original module of the instruction at an offset of the rewritten module. */
  original(offset: number): number {
    const { places, ends } = this.#insertions;
    let low = 0;
    let high = ends.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (ends[middle]! <= offset) low = middle + 1;
      else high = middle;
    }
    if (low === 0) return offset;
    return places[low - 1]! + offset - ends[low - 1]!;
  }
}
