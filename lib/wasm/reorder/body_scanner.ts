/**
 * Walks the instructions of function bodies: which functions they name and where, and how much of
 * them stands in loops.
 * @module
 */
import { OPERAND, PLAIN, PREFIXED_FC, PREFIXED_FD, PREFIXED_FE } from "./operands.ts";
import { References } from "./references.ts";

/** Blocks in each other; compilers stay far below. */
const MAX_NESTING = 10_000;

/** References in all bodies: nine bytes each are kept. CPython has 90,000. */
const MAX_REFERENCES = 4_000_000;

/** How often an instruction runs by the loops around it: a guess, as compilers make it. */
const WEIGHTS = [0, 1, 8, 64, 512];

/** Loops beyond which the guess says no more. */
const MAX_LOOPS = WEIGHTS.length - 1;

/** A byte of a LEB128 number that is not less than this is not its last. */
const CONTINUES = 0x80;

const EMPTY_TYPE = 0x40;
const REF_NULL = 0x63;
const REF = 0x64;
const V_FIRST = 0x69;
const MEMORY_INDEX_BIT = 0x40;

/** Scans one body after another; what it finds is in its fields. */
export class BodyScanner {
  /** All references so far. */
  readonly references: References = new References();
  /** Instructions in loops of the last body, each counted as often as it may run. */
  weight = 0;
  /** Targets of the largest jump table in a loop of the last body. */
  targets = 0;
  /** Whether the last body grows a memory. */
  grows = false;
  #bytes: Uint8Array;
  #at = 0;
  // Whether each open block is a loop.
  #blocks = new Uint8Array(MAX_NESTING);

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /**
   * Scans the body in `[start, end)`, its locals included.
   *
   * @returns Whether all of it was understood.
   */
  scan(start: number, end: number): boolean {
    const bytes = this.#bytes;
    const blocks = this.#blocks;
    this.#at = start;
    this.targets = 0;
    this.grows = false;
    if (!this.#skipLocals(end)) return false;
    // The body itself is a block, ended by its last instruction.
    blocks[0] = 0;
    let open = 1;
    let loops = 0;
    let weight = 0;
    while (open > 0) {
      let at = this.#at;
      if (at >= end) return false;
      let operand = PLAIN[bytes[at++]!]!;
      // The two most frequent kinds, three quarters of all instructions, without a call.
      if (operand === OPERAND.INDEX || operand === OPERAND.SIGNED) {
        while (bytes[at++]! >= CONTINUES);
      }
      this.#at = at;
      const prefixed = operand >= OPERAND.PREFIX_FC && operand <= OPERAND.PREFIX_FE;
      if (prefixed) {
        const table = operand === OPERAND.PREFIX_FC
          ? PREFIXED_FC
          : operand === OPERAND.PREFIX_FD
          ? PREFIXED_FD
          : PREFIXED_FE;
        operand = table[this.#u32()] ?? OPERAND.UNKNOWN;
      }
      if (loops > 0) weight += WEIGHTS[loops < MAX_LOOPS ? loops : MAX_LOOPS]!;
      switch (operand) {
        case OPERAND.NONE:
        case OPERAND.SIGNED:
          break;
        case OPERAND.INDEX:
          if (prefixed) this.#skipNumber();
          break;
        case OPERAND.GROW:
          this.grows = true;
          this.#skipNumber();
          break;
        case OPERAND.TWO_INDICES:
          this.#skipNumber();
          this.#skipNumber();
          break;
        case OPERAND.MEMARG:
          this.#skipMemarg();
          break;
        case OPERAND.FUNCTION: {
          const at = this.#at;
          if (this.references.count >= MAX_REFERENCES) return false;
          const to = this.#u32();
          this.references.add(at, this.#at - at, to, loops < MAX_LOOPS ? loops : MAX_LOOPS);
          break;
        }
        case OPERAND.BLOCK:
        case OPERAND.LOOP:
        case OPERAND.TRY_TABLE: {
          if (open === MAX_NESTING) return false;
          const loop = operand === OPERAND.LOOP ? 1 : 0;
          blocks[open++] = loop;
          loops += loop;
          this.#skipType();
          if (operand === OPERAND.TRY_TABLE) this.#skipCatches(end);
          break;
        }
        case OPERAND.END:
          loops -= blocks[--open]!;
          break;
        case OPERAND.DELEGATE:
          this.#skipNumber();
          loops -= blocks[--open]!;
          break;
        case OPERAND.BR_TABLE: {
          const targets = this.#u32();
          if (targets > end - this.#at) return false;
          if (loops > 0 && targets > this.targets) this.targets = targets;
          for (let left = targets; left >= 0; left--) this.#skipNumber();
          break;
        }
        case OPERAND.SELECT_TYPES: {
          const types = this.#u32();
          if (types > end - this.#at) return false;
          for (let left = types; left > 0; left--) this.#skipType();
          break;
        }
        case OPERAND.HEAP_TYPE:
          this.#skipNumber();
          break;
        case OPERAND.BYTE:
          this.#at += 1;
          break;
        case OPERAND.BYTES_4:
          this.#at += 4;
          break;
        case OPERAND.BYTES_8:
          this.#at += 8;
          break;
        case OPERAND.BYTES_16:
          this.#at += 16;
          break;
        case OPERAND.MEMARG_LANE:
          this.#skipMemarg();
          this.#at += 1;
          break;
        default:
          return false;
      }
    }
    this.weight = weight;
    return this.#at === end;
  }

  #skipLocals(end: number): boolean {
    const groups = this.#u32();
    if (groups > end - this.#at) return false;
    for (let left = groups; left > 0; left--) {
      this.#skipNumber();
      this.#skipType();
    }
    return this.#at <= end;
  }

  /** A value type, or that of a block: empty, a value type or a signed index. */
  #skipType(): void {
    const byte = this.#bytes[this.#at];
    if (byte === REF_NULL || byte === REF) this.#at++;
    else if (byte === EMPTY_TYPE || (byte! >= V_FIRST && byte! < 0x80)) {
      this.#at++;
      return;
    }
    this.#skipNumber();
  }

  #skipMemarg(): void {
    const flags = this.#u32();
    if ((flags & MEMORY_INDEX_BIT) !== 0) this.#skipNumber();
    this.#skipNumber();
  }

  #skipCatches(end: number): void {
    const count = this.#u32();
    for (let left = count; left > 0 && this.#at < end; left--) {
      const kind = this.#bytes[this.#at++]!;
      if (kind < 2) this.#skipNumber();
      this.#skipNumber();
    }
  }

  #skipNumber(): void {
    while (this.#bytes[this.#at++]! >= CONTINUES);
  }

  /** Well-formedness is V8's to check: what is too long only gives another number. */
  #u32(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.#at++]!;
    if (byte < 0x80) return byte;
    let value = byte & 0x7f;
    let shift = 7;
    do {
      byte = bytes[this.#at++]!;
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= 0x80);
    return value >>> 0;
  }
}
