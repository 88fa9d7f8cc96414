/**
 * Reads the code section: which functions each body calls, and how much of it runs in loops.
 *
 * @module
 */
import { OPERAND, PLAIN, PREFIXED_FC, PREFIXED_FD, PREFIXED_FE } from "./opcodes.ts";
import { ByteReader } from "../reader.ts";
import type { Section } from "../sections.ts";

/** Function bodies of a module in columns; body indices do not count imported functions. */
export interface Code {
  /** Number of bodies. */
  count: number;
  /** Offset of each body, after its size field. */
  start: Uint32Array;
  /** Size of each body, in bytes. */
  size: Uint32Array;
  /** See {@linkcode BodyScanner.weight}. */
  weight: Float64Array;
  /** See {@linkcode BodyScanner.targets}. */
  targets: Uint32Array;
  /** 1 if the body contains `memory.grow`, else 0. */
  grows: Uint8Array;
  /** Function references of all bodies. */
  references: References;
  /** Index of each body's first reference, followed by the total count. */
  firstReference: Uint32Array;
}

/** Reads the code section; returns undefined if it contains an unknown instruction. */
export function readCode(bytes: Uint8Array, section: Section): Code | undefined {
  const reader = new ByteReader(bytes, "code section", section);
  const count = reader.count("bodies", 3);
  const scanner = new BodyScanner(bytes);
  const code: Code = {
    count,
    start: new Uint32Array(count),
    size: new Uint32Array(count),
    weight: new Float64Array(count),
    targets: new Uint32Array(count),
    grows: new Uint8Array(count),
    references: scanner.references,
    firstReference: new Uint32Array(count + 1),
  };
  for (let index = 0; index < count; index++) {
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    if (!scanner.scan(start, start + size)) return undefined;
    code.start[index] = start;
    code.size[index] = size;
    code.weight[index] = scanner.weight;
    code.targets[index] = scanner.targets;
    code.grows[index] = scanner.grows ? 1 : 0;
    code.firstReference[index + 1] = scanner.references.count;
  }
  reader.finish();
  return code;
}

/** Deepest block nesting; compilers emit far less. */
const MAX_NESTING = 10_000;

/** Largest number of references, at nine bytes each. CPython has 90,000. */
const MAX_REFERENCES = 4_000_000;

/** Estimated executions of an instruction by loop depth, as compilers estimate block frequencies. */
const WEIGHTS = [0, 1, 8, 64, 512];

/** Loop depth beyond which the estimate stays the same. */
const MAX_LOOPS = WEIGHTS.length - 1;

/** Continuation bit of LEB128: bytes at or above this value are not the last. */
const CONTINUES = 0x80;

const EMPTY_TYPE = 0x40;
const REF_NULL = 0x63;
const REF = 0x64;
const V_FIRST = 0x69;
const MEMORY_INDEX_BIT = 0x40;

/** Scans function bodies one after another; the fields hold the results. */
export class BodyScanner {
  /** References of all bodies scanned so far. */
  readonly references: References = new References();
  /** Sum of the last body's instructions in loops, weighted by {@linkcode WEIGHTS}. */
  weight = 0;
  /** Number of targets of the largest jump table in a loop of the last body. */
  targets = 0;
  /** Whether the last body contains `memory.grow`. */
  grows = false;
  #bytes: Uint8Array;
  #at = 0;
  /** 1 for each open block that is a loop, else 0. */
  #blocks = new Uint8Array(MAX_NESTING);

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /**
   * Scans the body in `[start, end)`, including its locals.
   *
   * @returns Whether every instruction is known and the body ends at `end`.
   */
  scan(start: number, end: number): boolean {
    const bytes = this.#bytes;
    const blocks = this.#blocks;
    this.#at = start;
    this.targets = 0;
    this.grows = false;
    if (!this.#skipLocals(end)) return false;
    // The body is a block itself; its last instruction ends it.
    blocks[0] = 0;
    let open = 1;
    let loops = 0;
    let weight = 0;
    while (open > 0) {
      let at = this.#at;
      if (at >= end) return false;
      let operand = PLAIN[bytes[at++]!]!;
      // Fast path for the two most frequent kinds, three quarters of all instructions.
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
          this.references.add(at, this.#at - at, to);
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

  /** Skips a value type or a block type (empty, a value type or a signed type index). */
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

  /** Reads a LEB128 integer without checks: V8 rejects malformed ones, so a wrong value does no harm. */
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

/** Initial capacity, in references. */
const INITIAL_CAPACITY = 1024;

/** Growing list of function references in code order, in columns: large modules have hundreds of thousands. */
export class References {
  /** Offset of the function index in the module. */
  at: Uint32Array = new Uint32Array(INITIAL_CAPACITY);
  /** Function index. */
  to: Uint32Array = new Uint32Array(INITIAL_CAPACITY);
  /** Encoded length of the index, in bytes: linkers may pad it. */
  length: Uint8Array = new Uint8Array(INITIAL_CAPACITY);
  /** Number of references. */
  count = 0;

  /** Appends a reference. */
  add(at: number, length: number, to: number): void {
    if (this.count === this.at.length) this.#grow();
    this.at[this.count] = at;
    this.length[this.count] = length;
    this.to[this.count++] = to;
  }

  #grow(): void {
    const capacity = this.count * 2;
    const { at, length, to } = this;
    (this.at = new Uint32Array(capacity)).set(at);
    (this.length = new Uint8Array(capacity)).set(length);
    (this.to = new Uint32Array(capacity)).set(to);
  }
}
