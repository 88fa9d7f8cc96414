/**
 * A growing list of places in code that name a function, as columns of numbers: large modules have
 * hundreds of thousands.
 * @module
 */

/** The list begins with room for so many. */
const FIRST_ROOM = 1024;

/** References to functions, in the order in which they stand in the code. */
export class References {
  /** Where the index stands. */
  at: Uint32Array = new Uint32Array(FIRST_ROOM);
  /** The index. */
  to: Uint32Array = new Uint32Array(FIRST_ROOM);
  /** How many bytes the index takes: linkers may pad it. */
  length: Uint8Array = new Uint8Array(FIRST_ROOM);
  /** How many loops are around. */
  loops: Uint8Array = new Uint8Array(FIRST_ROOM);
  /** How many there are. */
  count = 0;

  /** Notes one more. */
  add(at: number, length: number, to: number, loops: number): void {
    if (this.count === this.at.length) this.#grow();
    this.at[this.count] = at;
    this.length[this.count] = length;
    this.to[this.count] = to;
    this.loops[this.count++] = loops;
  }

  #grow(): void {
    const room = this.count * 2;
    const { at, length, to, loops } = this;
    (this.at = new Uint32Array(room)).set(at);
    (this.length = new Uint8Array(room)).set(length);
    (this.to = new Uint32Array(room)).set(to);
    (this.loops = new Uint8Array(room)).set(loops);
  }
}
