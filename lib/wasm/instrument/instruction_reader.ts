/**
 * Decodes the instructions of function bodies one after another.
 *
 * @module
 */
import { badModule } from "../reader.ts";
import { OPERAND, PLAIN, PREFIXED } from "../opcodes.ts";
import {
  CONTINUES,
  EMPTY_TYPE,
  isTypedReference,
  isValueType,
  MEMORY_INDEX_BIT,
  skipHandlerTag,
  skipMemarg,
  skipNumber,
} from "../operands.ts";

/** Block types and value types that are no type index. */
export const BLOCK_TYPE = {
  EMPTY: -1,
  /** One result that is neither a float nor a vector. */
  OTHER: -2,
  F32: -3,
  F64: -4,
  V128: -5,
} as const;

/** Parameters and local variables of a body. */
export interface BodyLocals {
  /** Number of parameters and locals. */
  count: number;
  /** Number of groups in which the locals are declared. */
  groups: number;
  /** Offset of the first group. */
  groupsStart: number;
  /** Offset of the first instruction. */
  codeStart: number;
}

/** Opcode of an instruction with a prefix. */
export function prefixedOpcode(prefix: number, opcode: number): number {
  return prefix << 16 | opcode;
}

/** Largest value of the fifth byte of an unsigned 32-bit integer. */
const MAX_FIFTH_BYTE = 0x0f;

/** Operand kinds of the opcodes that {@linkcode InstructionReader.skipFrequent} skips; 0 for others. */
const FREQUENT: Uint8Array = PLAIN.map((kind, opcode) => {
  const isLocal = opcode >= 0x20 && opcode <= 0x22;
  const isPlain = kind === OPERAND.NONE && opcode >= 0x1a; // not control flow
  return isLocal || isPlain || kind === OPERAND.SIGNED || kind === OPERAND.MEMARG ? kind : 0;
});

/**
 * Reader of the instructions in a range; {@linkcode next} decodes one into the fields. Indices that are wider than 32 bits
 * are refused, because a rewriting may encode them anew. V8 rejects other malformed integers, which are copied.
 */
export class InstructionReader {
  /** Offset of the current instruction. */
  start = 0;
  /** Offset after the current instruction. */
  position = 0;
  /** Opcode of the current instruction; see {@linkcode prefixedOpcode}. */
  opcode = 0;
  /** Its first index, label or count. */
  first = 0;
  /** Its second index. */
  second = 0;
  /** Its block type: a type index, or one of {@linkcode BLOCK_TYPE}. */
  blockType = 0;
  /** Labels of a jump table, the default last, or of the handlers of `try_table`. */
  readonly labels: number[] = [];
  readonly #bytes: Uint8Array;
  #end = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Continues at an offset. */
  seek(start: number, end: number): void {
    this.position = start;
    this.#end = end;
  }

  /**
   * Skips instructions of the most frequent kinds, which neither branch nor call, and returns their number. Instructions
   * that use a local variable beyond `locals` are not skipped.
   */
  skipFrequent(locals: number): number {
    const bytes = this.#bytes;
    let at = this.position;
    for (let count = 0;; count++) {
      switch (FREQUENT[bytes[at]!]) {
        case OPERAND.NONE:
          at++;
          break;
        case OPERAND.SIGNED:
          at++;
          while (bytes[at++]! >= CONTINUES);
          break;
        case OPERAND.MEMARG:
          if (bytes[at + 1]! >= MEMORY_INDEX_BIT) {
            this.position = at;
            return count;
          }
          at += 2;
          while (bytes[at++]! >= CONTINUES);
          break;
        case OPERAND.INDEX: {
          const index = bytes[at + 1]!;
          if (index >= CONTINUES || index >= locals) {
            this.position = at;
            return count;
          }
          at += 2;
          break;
        }
        default:
          this.position = at;
          return count;
      }
    }
  }

  /** Decodes the next instruction and returns the kind of its operands, one of {@linkcode OPERAND}. */
  next(): number {
    const bytes = this.#bytes;
    let at = this.position;
    this.start = at;
    if (at >= this.#end) this.fail("ends within a function");
    const byte = bytes[at++]!;
    const kind = PLAIN[byte]!;
    this.opcode = byte;
    // The most frequent kinds, nine tenths of all instructions, without calls.
    switch (kind) {
      case OPERAND.INDEX:
        if (bytes[at]! < CONTINUES) {
          this.first = bytes[at]!;
          this.position = at + 1;
        } else {
          this.position = at;
          this.first = this.u32();
        }
        return kind;
      case OPERAND.SIGNED:
        while (bytes[at++]! >= CONTINUES);
        break;
      case OPERAND.MEMARG:
        if (bytes[at]! >= MEMORY_INDEX_BIT) {
          this.position = at;
          return this.#decode(byte, kind);
        }
        at++;
        while (bytes[at++]! >= CONTINUES);
        break;
      case OPERAND.NONE:
      case OPERAND.END:
        break;
      default:
        this.position = at;
        return this.#decode(byte, kind);
    }
    this.position = at;
    return kind;
  }

  /**
   * Reads the declarations at the start of a body.
   *
   * @param onGroup Called with the number of locals of each group and their type, one of {@linkcode BLOCK_TYPE}.
   */
  readLocals(
    parameters: number,
    onGroup: (count: number, type: number) => void = () => {},
  ): BodyLocals {
    this.start = this.position;
    const groups = this.#count("groups of local variables");
    const groupsStart = this.position;
    let count = parameters;
    for (let left = groups; left > 0; left--) {
      const locals = this.u32();
      count += locals;
      onGroup(locals, this.readType());
    }
    return { count, groups, groupsStart, codeStart: this.position };
  }

  #decode(byte: number, plain: number): number {
    let kind = plain;
    const table = PREFIXED[kind];
    if (table !== undefined) {
      const opcode = this.u32();
      kind = table[opcode] ?? OPERAND.UNKNOWN;
      this.opcode = prefixedOpcode(byte, opcode);
      if (kind === OPERAND.UNKNOWN) {
        this.fail(`has an unknown instruction 0x${byte.toString(16)} ${opcode}`);
      }
    }
    switch (kind) {
      case OPERAND.NONE:
      case OPERAND.END:
        break;
      case OPERAND.INDEX:
      case OPERAND.GROW:
      case OPERAND.FUNCTION:
      case OPERAND.DELEGATE:
        this.first = this.u32();
        break;
      case OPERAND.SIGNED:
      case OPERAND.HEAP_TYPE:
        this.position = skipNumber(this.#bytes, this.position);
        break;
      case OPERAND.TWO_INDICES:
        this.first = this.u32();
        this.second = this.u32();
        break;
      case OPERAND.MEMARG:
        this.position = skipMemarg(this.#bytes, this.position);
        break;
      case OPERAND.MEMARG_LANE:
        this.position = skipMemarg(this.#bytes, this.position);
        this.position += 1;
        break;
      case OPERAND.BLOCK:
      case OPERAND.LOOP:
        this.blockType = this.#readBlockType();
        break;
      case OPERAND.TRY_TABLE:
        this.blockType = this.#readBlockType();
        this.#readHandlers();
        break;
      case OPERAND.BR_TABLE: {
        const targets = this.#count("labels");
        this.labels.length = 0;
        for (let left = targets; left >= 0; left--) this.labels.push(this.u32());
        break;
      }
      case OPERAND.SELECT_TYPES:
        for (let left = this.#count("types"); left > 0; left--) this.readType();
        break;
      case OPERAND.BR_ON_CAST:
        this.position += 1;
        this.first = this.u32();
        this.position = skipNumber(this.#bytes, this.position);
        this.position = skipNumber(this.#bytes, this.position);
        break;
      case OPERAND.BYTE:
        this.position += 1;
        break;
      case OPERAND.BYTES_4:
        this.position += 4;
        break;
      case OPERAND.BYTES_8:
        this.position += 8;
        break;
      case OPERAND.BYTES_16:
        this.position += 16;
        break;
      default:
        this.fail(`has an unknown instruction 0x${byte.toString(16)}`);
    }
    return kind;
  }

  /** Reads a value type: one of {@linkcode BLOCK_TYPE} but `EMPTY`. */
  readType(): number {
    const byte = this.#bytes[this.position++]!;
    if (isTypedReference(byte)) this.position = skipNumber(this.#bytes, this.position);
    return valueType(byte);
  }

  /** Reads an unsigned integer. */
  u32(): number {
    const bytes = this.#bytes;
    let byte = bytes[this.position++]!;
    if (byte < CONTINUES) return byte;
    let value = byte & 0x7f;
    let shift = 7;
    do {
      byte = bytes[this.position++]!;
      value |= (byte & 0x7f) << shift;
      shift += 7;
    } while (byte >= CONTINUES && shift < 35);
    if (shift === 35 && byte > MAX_FIFTH_BYTE) this.fail("has an integer wider than 32 bits");
    return value >>> 0;
  }

  /** Throws `bad-module` about the current instruction. */
  fail(problem: string): never {
    throw badModule(`its code section ${problem} at byte ${this.start}`, {
      hint: "The file is damaged or uses a feature that this runtime does not support",
      details: { part: "code section", offset: this.start },
    });
  }

  #count(what: string): number {
    const count = this.u32();
    const left = this.#end - this.position;
    if (count > left) this.fail(`declares ${count} ${what} but has room for ${left}`);
    return count;
  }

  #readBlockType(): number {
    const byte = this.#bytes[this.position]!;
    if (byte === EMPTY_TYPE) {
      this.position++;
      return BLOCK_TYPE.EMPTY;
    }
    return isValueType(byte) ? this.readType() : this.u32();
  }

  #readHandlers(): void {
    this.labels.length = 0;
    for (let left = this.#count("handlers"); left > 0; left--) {
      this.position = skipHandlerTag(this.#bytes, this.position);
      this.labels.push(this.u32());
    }
  }
}

/** The value type of a byte: one of {@linkcode BLOCK_TYPE} but `EMPTY`. */
export function valueType(byte: number): number {
  switch (byte) {
    case 0x7d:
      return BLOCK_TYPE.F32;
    case 0x7c:
      return BLOCK_TYPE.F64;
    case 0x7b:
      return BLOCK_TYPE.V128;
    default:
      return BLOCK_TYPE.OTHER;
  }
}
