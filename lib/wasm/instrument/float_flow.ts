/**
 * Follows the results of float arithmetic through a function, as a graph of values, and decides where a value must be
 * made canonical before its bits can be seen (docs/adr/0017-canonical-nan.md).
 *
 * @module
 */

/**
 * What a value may hold, as bits. A value that is the result of arithmetic alone may be made canonical anywhere before
 * it is seen. A moved value must keep its bits, so where both meet, only the result of arithmetic may be changed, where it
 * is made.
 */
export const ORIGIN = {
  /** Result of arithmetic as an f32. */
  F32: 1,
  /** Result of arithmetic as an f64. */
  F64: 2,
  /** Result of arithmetic as four f32. */
  F32X4: 4,
  /** Result of arithmetic as two f64. */
  F64X2: 8,
  /** Bits that must be kept. */
  MOVED: 16,
  /** A number or a canonical NaN, for every width of lane: canonicalising it changes no bit. */
  NEUTRAL: 32,
} as const;

const ARITHMETIC = ORIGIN.F32 | ORIGIN.F64 | ORIGIN.F32X4 | ORIGIN.F64X2;

/** Value whose bits must be kept, and of every value that is no float. */
export const MOVED_VALUE = 0;

/** Value of origin {@linkcode ORIGIN.NEUTRAL}. */
export const NEUTRAL_VALUE = 1;

/** How the origin of a value follows from the origins of what it is made of. */
export const FLOW = {
  /** Any of the values, unchanged. */
  COPY: 0,
  /** Bit operation on the value, such as a change of sign: its result cannot be made canonical later. */
  BITS: 1,
  /** Vector of copies of an f32, or with one such lane. */
  SPLAT_F32X4: 2,
  /** Lane of four f32. */
  LANE_F32X4: 3,
  /** Lane of two f64. */
  LANE_F64X2: 4,
  /** Vector of lanes of four f32. */
  F32X4: 5,
  /** Vector of lanes of two f64. */
  F64X2: 6,
  /** Vector of copies of an f64, or with one such lane. */
  SPLAT_F64X2: 7,
} as const;

/** Place of a value that has no place at which code can be inserted. */
export const NO_PLACE = -1;

/** Rounds of {@linkcode FloatFlow.resolve}, one more than the nesting of loops. */
const MAX_ROUNDS = 40;

const FIRST_VALUE = 2;
const NO_EDGE = -1;

/** Graph of the float values of one function. */
export class FloatFlow {
  /** Where code must be inserted, ascending. */
  insertions: Float64Array = new Float64Array(0);
  #count = FIRST_VALUE;
  #capacity = 1024;
  #origin = new Uint8Array(this.#capacity);
  #flow = new Uint8Array(this.#capacity);
  #place = new Int32Array(this.#capacity);
  #owner = new Int32Array(this.#capacity);
  #head = new Int32Array(this.#capacity);
  #demanded = new Uint8Array(this.#capacity);
  #edges = 0;
  #edgeTo = new Int32Array(this.#capacity);
  #edgeNext = new Int32Array(this.#capacity);
  readonly #observed: number[] = [];
  /** Pairs of a value and the only origin of arithmetic whose bits its use does not see. */
  readonly #uses: number[] = [];

  /** Removes all values. */
  clear(): void {
    this.#count = FIRST_VALUE;
    this.#edges = 0;
    this.#origin[MOVED_VALUE] = ORIGIN.MOVED;
    this.#observed.length = this.#uses.length = 0;
  }

  /** Adds the result of an arithmetic instruction that ends at `place`. */
  arithmetic(origin: number, place: number): number {
    return this.#add(origin, FLOW.COPY, place, 0);
  }

  /** Adds a value that is made of another. */
  flow(from: number, flow: number, place: number): number {
    if (from <= NEUTRAL_VALUE) return from;
    const value = this.#add(0, flow, place, 0);
    this.#connect(value, from);
    return value;
  }

  /** Adds a value that is one of two others, or consists of both. */
  either(one: number, other: number, flow: number, place: number): number {
    if (one <= NEUTRAL_VALUE && other <= NEUTRAL_VALUE) return Math.min(one, other);
    const value = this.#add(0, flow, place, 0);
    this.connect(value, one);
    this.connect(value, other);
    return value;
  }

  /** Adds a value that is one of several, which {@linkcode connect} adds. `owner` identifies where they meet. */
  join(owner: number, place: number): number {
    return this.#add(0, FLOW.COPY, place, owner);
  }

  /** Sets the place of a value that was added by {@linkcode join}. */
  setPlace(value: number, place: number): void {
    this.#place[value] = place;
  }

  /** Where the values meet of which this one is any; 0 for others. */
  owner(value: number): number {
    return value < FIRST_VALUE ? 0 : this.#owner[value]!;
  }

  /** Adds `from` to what a value may be. */
  connect(value: number, from: number): void {
    if (from > NEUTRAL_VALUE) this.#connect(value, from);
    else this.#origin[value]! |= from === MOVED_VALUE ? ORIGIN.MOVED : ORIGIN.NEUTRAL;
  }

  /** Records that the bits of a value can be seen. */
  observe(value: number): void {
    if (value > NEUTRAL_VALUE) this.#observed.push(value);
  }

  /** Records that a value is used by an instruction that sees its bits unless it is of this origin. */
  use(value: number, origin: number): void {
    if (value > NEUTRAL_VALUE) this.#uses.push(value, origin);
  }

  /**
   * Computes {@linkcode insertions}: for each, four times the place plus 0 for f32, 1 for f64, 2 for four f32 and 3
   * for two f64.
   *
   * @returns false if loops are nested too deeply.
   */
  resolve(): boolean {
    if (!this.#propagate()) return false;
    const origins = this.#origin;
    const pending = this.#observed;
    const uses = this.#uses;
    for (let at = 0; at < uses.length; at += 2) {
      const other = ARITHMETIC & ~uses[at + 1]!;
      if ((origins[uses[at]!]! & other) !== 0) pending.push(uses[at]!);
    }
    this.#demanded.fill(0, 0, this.#count);
    const found: number[] = [];
    for (let value = pending.pop(); value !== undefined; value = pending.pop()) {
      if (this.#demanded[value] === 1) continue;
      this.#demanded[value] = 1;
      const origin = origins[value]!;
      if ((origin & ARITHMETIC) === 0) continue;
      const kept = origin & ~ORIGIN.NEUTRAL;
      const isPure = (kept & (kept - 1)) === 0;
      const place = this.#place[value]!;
      if (isPure && place !== NO_PLACE) {
        found.push(place * 4 + (31 - Math.clz32(kept)));
        continue;
      }
      for (let edge = this.#head[value]!; edge !== NO_EDGE; edge = this.#edgeNext[edge]!) {
        pending.push(this.#edgeTo[edge]!);
      }
    }
    this.insertions = Float64Array.from(found).sort();
    return true;
  }

  /** Computes the origins of all values. They only grow, so that a bounded number of rounds reaches the end. */
  #propagate(): boolean {
    const origins = this.#origin;
    for (let round = 0; round < MAX_ROUNDS; round++) {
      let changed = false;
      for (let value = FIRST_VALUE; value < this.#count; value++) {
        let edge = this.#head[value]!;
        if (edge === NO_EDGE) continue;
        let from = 0;
        for (; edge !== NO_EDGE; edge = this.#edgeNext[edge]!) {
          from |= origins[this.#edgeTo[edge]!]!;
        }
        const before = origins[value]!;
        const after = before | through(this.#flow[value]!, from);
        if (after === before) continue;
        origins[value] = after;
        changed = true;
      }
      if (!changed) return true;
    }
    return false;
  }

  #add(origin: number, flow: number, place: number, owner: number): number {
    const value = this.#count++;
    if (value >= this.#capacity) this.#grow();
    this.#origin[value] = origin;
    this.#flow[value] = flow;
    this.#place[value] = place;
    this.#owner[value] = owner;
    this.#head[value] = NO_EDGE;
    return value;
  }

  #connect(value: number, from: number): void {
    const edge = this.#edges++;
    if (edge >= this.#edgeTo.length) {
      this.#edgeTo = doubled(this.#edgeTo);
      this.#edgeNext = doubled(this.#edgeNext);
    }
    this.#edgeTo[edge] = from;
    this.#edgeNext[edge] = this.#head[value]!;
    this.#head[value] = edge;
  }

  #grow(): void {
    this.#capacity *= 2;
    const bytes = (old: Uint8Array) => {
      const grown = new Uint8Array(this.#capacity);
      grown.set(old);
      return grown;
    };
    this.#origin = bytes(this.#origin);
    this.#flow = bytes(this.#flow);
    this.#demanded = new Uint8Array(this.#capacity);
    this.#place = doubled(this.#place);
    this.#owner = doubled(this.#owner);
    this.#head = doubled(this.#head);
  }
}

function doubled(old: Int32Array): Int32Array<ArrayBuffer> {
  const grown = new Int32Array(old.length * 2);
  grown.set(old);
  return grown;
}

/** Origin of a value that is made of values of the given origins. */
function through(flow: number, from: number): number {
  switch (flow) {
    case FLOW.COPY:
      return from;
    case FLOW.BITS:
      return from | ORIGIN.MOVED;
    case FLOW.SPLAT_F32X4:
      return (from & (ORIGIN.MOVED | ORIGIN.NEUTRAL)) | (from & ORIGIN.F32) << 2;
    case FLOW.SPLAT_F64X2:
      // Two halves of a number may be NaNs as f32.
      return (from & ~ORIGIN.F64 ? ORIGIN.MOVED : 0) | (from & ORIGIN.F64) << 2;
    case FLOW.LANE_F32X4:
      return lanes(from, ORIGIN.F32X4, ORIGIN.F32);
    case FLOW.LANE_F64X2:
      return lanes(from, ORIGIN.F64X2, ORIGIN.F64);
    case FLOW.F32X4:
      return lanes(from, ORIGIN.F32X4, ORIGIN.F32X4);
    default:
      return lanes(from, ORIGIN.F64X2, ORIGIN.F64X2);
  }
}

/** Origin of what is made of lanes. A vector of other lanes is made canonical first, so that its bits are moved. */
function lanes(from: number, wanted: number, result: number): number {
  const hasOthers = (from & ARITHMETIC & ~wanted) !== 0;
  return (from & (ORIGIN.MOVED | ORIGIN.NEUTRAL)) | (hasOthers ? ORIGIN.MOVED : 0) |
    ((from & wanted) !== 0 ? result : 0);
}
