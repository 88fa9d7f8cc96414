/**
 * Reads the code section: which functions each body calls, and how much of it runs in loops.
 *
 * @module
 */
import {
  FIRST_RELAXED,
  FLOAT_ARITHMETIC,
  OPERAND,
  PLAIN,
  PREFIXED,
  SIMD_ARITHMETIC,
} from "../opcodes.ts";
import { CONTINUES, skipHandlerTag, skipMemarg, skipNumber, skipType } from "../operands.ts";
import { ByteReader } from "../reader.ts";
import { References } from "./references.ts";
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
  /** 1 if the body contains float arithmetic, else 0. */
  arithmetic: Uint8Array;
  /** Function references of all bodies. */
  references: References;
  /** Index of each body's first reference, followed by the total count. */
  firstReference: Uint32Array;
  /** The first instruction that the deterministic profile refuses; undefined if there is none. */
  unstable: UnstableInstruction | undefined;
}

/** An instruction whose result depends on the processor or on other threads: relaxed SIMD, atomics. */
export interface UnstableInstruction {
  /** Index of its body. */
  body: number;
  /** Whether it is an atomic instruction, not relaxed SIMD. */
  isAtomic: boolean;
  /** Opcode after the prefix. */
  opcode: number;
}

/**
 * Largest function body, in bytes; V8 has the same limit (kV8MaxWasmFunctionSize). The rewriting shortens padded
 * indices, so that a larger body could become valid.
 */
const MAX_BODY_BYTES = 7_654_321;

/**
 * Reads the code section of a module with `imported` imported functions.
 *
 * @returns undefined if the section contains an unknown instruction, a function index that is malformed or out of
 * range, or a body that is too large.
 */
export function readCode(
  bytes: Uint8Array,
  section: Section,
  imported: number,
): Code | undefined {
  const reader = new ByteReader(bytes, "code section", section);
  const count = reader.count("bodies", 3);
  const scanner = new BodyScanner(bytes, imported + count);
  const code: Code = {
    count,
    start: new Uint32Array(count),
    size: new Uint32Array(count),
    weight: new Float64Array(count),
    targets: new Uint32Array(count),
    grows: new Uint8Array(count),
    arithmetic: new Uint8Array(count),
    references: scanner.references,
    firstReference: new Uint32Array(count + 1),
    unstable: undefined,
  };
  for (let index = 0; index < count; index++) {
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    if (size > MAX_BODY_BYTES) return undefined;
    if (!scanner.scan(start, start + size)) return undefined;
    code.start[index] = start;
    code.size[index] = size;
    code.weight[index] = scanner.weight;
    code.targets[index] = scanner.targets;
    code.grows[index] = scanner.grows ? 1 : 0;
    code.arithmetic[index] = scanner.arithmetic ? 1 : 0;
    code.firstReference[index + 1] = scanner.references.count;
    if (scanner.unstable !== undefined) code.unstable ??= { body: index, ...scanner.unstable };
  }
  reader.finish();
  return code;
}

/** Deepest block nesting; compilers emit far less. */
const MAX_NESTING = 10_000;

/** Estimated executions of an instruction by loop depth, as compilers estimate block frequencies. */
const WEIGHTS = [0, 1, 8, 64, 512];

/** Loop depth beyond which the estimate stays the same. */
const MAX_LOOPS = WEIGHTS.length - 1;

/** Scans function bodies one after another; the fields hold the results. */
export class BodyScanner {
  /** References of all bodies scanned so far. */
  readonly references: References;
  /** Sum of the last body's instructions in loops, weighted by {@linkcode WEIGHTS}. */
  weight = 0;
  /** Number of targets of the largest jump table in a loop of the last body. */
  targets = 0;
  /** Whether the last body contains `memory.grow`. */
  grows = false;
  /** Whether the last body contains float arithmetic. */
  arithmetic = false;
  /** First instruction of all bodies scanned so far that the deterministic profile refuses. */
  unstable: Omit<UnstableInstruction, "body"> | undefined;
  #bytes: Uint8Array;
  #at = 0;
  /** 1 for each open block that is a loop, else 0. */
  #blocks = new Uint8Array(MAX_NESTING);

  /** @param functions Number of functions of the module. */
  constructor(bytes: Uint8Array, functions: number) {
    this.#bytes = bytes;
    this.references = new References(functions);
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
    this.arithmetic = false;
    if (!this.#skipLocals(end)) return false;
    // The body is a block itself; its last instruction ends it.
    blocks[0] = 0;
    let open = 1;
    let loops = 0;
    let weight = 0;
    while (open > 0) {
      let at = this.#at;
      if (at >= end) return false;
      const byte = bytes[at++]!;
      let operand = PLAIN[byte]!;
      // Fast path for the two most frequent kinds, three quarters of all instructions.
      if (operand === OPERAND.INDEX || operand === OPERAND.SIGNED) {
        while (bytes[at++]! >= CONTINUES);
      }
      this.#at = at;
      const table = PREFIXED[operand];
      if (table !== undefined) {
        const opcode = this.#u32();
        const isAtomic = operand === OPERAND.PREFIX_FE;
        if (isAtomic || (operand === OPERAND.PREFIX_FD && opcode >= FIRST_RELAXED)) {
          this.unstable ??= { isAtomic, opcode };
        }
        if (operand === OPERAND.PREFIX_FD && SIMD_ARITHMETIC[opcode] === 1) this.arithmetic = true;
        operand = table[opcode] ?? OPERAND.UNKNOWN;
      }
      if (loops > 0) weight += WEIGHTS[loops < MAX_LOOPS ? loops : MAX_LOOPS]!;
      switch (operand) {
        case OPERAND.NONE:
          if (table === undefined && FLOAT_ARITHMETIC[byte] === 1) this.arithmetic = true;
          break;
        case OPERAND.SIGNED:
          break;
        case OPERAND.INDEX:
          if (table !== undefined) this.#at = skipNumber(bytes, this.#at);
          break;
        case OPERAND.GROW:
          this.grows = true;
          this.#at = skipNumber(bytes, this.#at);
          break;
        case OPERAND.TWO_INDICES:
          this.#at = skipNumber(bytes, this.#at);
          this.#at = skipNumber(bytes, this.#at);
          break;
        case OPERAND.MEMARG:
          this.#at = skipMemarg(bytes, this.#at);
          break;
        case OPERAND.FUNCTION: {
          const at = this.#at;
          const to = this.#u32();
          if (!this.references.add(bytes, { at, end: this.#at, to })) return false;
          break;
        }
        case OPERAND.BLOCK:
        case OPERAND.LOOP:
        case OPERAND.TRY_TABLE: {
          if (open === MAX_NESTING) return false;
          const loop = operand === OPERAND.LOOP ? 1 : 0;
          blocks[open++] = loop;
          loops += loop;
          this.#at = skipType(bytes, this.#at);
          if (operand === OPERAND.TRY_TABLE) this.#skipCatches(end);
          break;
        }
        case OPERAND.END:
          loops -= blocks[--open]!;
          break;
        case OPERAND.DELEGATE:
          this.#at = skipNumber(bytes, this.#at);
          loops -= blocks[--open]!;
          break;
        case OPERAND.BR_TABLE: {
          const targets = this.#u32();
          if (targets > end - this.#at) return false;
          if (loops > 0 && targets > this.targets) this.targets = targets;
          for (let left = targets; left >= 0; left--) this.#at = skipNumber(bytes, this.#at);
          break;
        }
        case OPERAND.SELECT_TYPES: {
          const types = this.#u32();
          if (types > end - this.#at) return false;
          for (let left = types; left > 0; left--) this.#at = skipType(bytes, this.#at);
          break;
        }
        case OPERAND.HEAP_TYPE:
          this.#at = skipNumber(bytes, this.#at);
          break;
        case OPERAND.BR_ON_CAST:
          this.#at += 1;
          for (let left = 3; left > 0; left--) this.#at = skipNumber(bytes, this.#at);
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
          this.#at = skipMemarg(bytes, this.#at);
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
      this.#at = skipType(this.#bytes, skipNumber(this.#bytes, this.#at));
    }
    return this.#at <= end;
  }

  #skipCatches(end: number): void {
    const count = this.#u32();
    for (let left = count; left > 0 && this.#at < end; left--) {
      const at = skipHandlerTag(this.#bytes, this.#at);
      this.#at = skipNumber(this.#bytes, at);
    }
  }

  /** Reads a LEB128 integer without checks: V8 rejects malformed ones, which the rewriting copies unchanged. */
  #u32(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.#at++]!;
    if (byte < CONTINUES) return byte;
    let value = byte & 0x7f;
    let shift = 7;
    do {
      byte = bytes[this.#at++]!;
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= CONTINUES);
    return value >>> 0;
  }
}
