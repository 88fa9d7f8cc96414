/**
 * Rewrites the code of a module so that every NaN that arithmetic makes has one bit pattern wherever its bits can be seen
 * (docs/adr/0017-canonical-nan.md).
 *
 * The rewritten module is valid only if the original is: what is inserted takes a float from the stack and returns one,
 * everything else is copied in its order, and indices that could become valid because a function has some local
 * variables more are checked against the original.
 *
 * @module
 */
import { OPERAND, PLAIN } from "../opcodes.ts";
import { badModule, ByteReader } from "../reader.ts";
import { ByteWriter } from "../writer.ts";
import { type CodeContent, MAX_BODY_BYTES, MAX_LOCALS } from "./code_replacement.ts";
import { InsertionMap } from "./insertion_map.ts";
import { type BodyLocals, InstructionReader } from "./instruction_reader.ts";
import { IntList } from "./int_list.ts";
import type { ModuleFacts } from "./module_facts.ts";
import { NanAnalysis } from "./nan_analysis.ts";
import { PLAIN_EFFECTS, PREFIXED_EFFECTS, ROLE } from "./stack_effects.ts";

/** Result of {@linkcode canonicalizeNaN}. */
export interface CanonicalCode {
  /** The rewritten content of the code section. */
  content: Uint8Array;
  /** Maps offsets of instructions in it back to the module. */
  insertions: InsertionMap;
}

/** Options of {@linkcode canonicalizeNaN}. */
export interface CanonicalizeNaNOptions {
  /** Facts about the module. */
  facts: ModuleFacts;
  /** 1 for each body that contains float arithmetic. @default {all bodies are read to find out} */
  arithmetic?: Uint8Array | undefined;
}

/**
 * Rewrites a code section; returns undefined if nothing has to change.
 *
 * @throws {PlasmError} `bad-module` if an instruction is unknown or a function would become too large
 */
export function canonicalizeNaN(
  { bytes, start, end }: CodeContent,
  { facts, arithmetic }: CanonicalizeNaNOptions,
): CanonicalCode | undefined {
  const bodies = new BodyRewriter(bytes, facts);
  const content = bodies.rewrite({ start, end }, arithmetic);
  if (content === undefined) return undefined;
  const { places, ends } = bodies;
  const insertions = new InsertionMap({ places: places.toOffsets(), ends: ends.toOffsets() });
  return { content, insertions };
}

const F32 = 0x7d;
const F64 = 0x7c;
const V128 = 0x7b;

/** The canonical NaN of 32 bits. */
const NAN_32 = [0, 0, 0xc0, 0x7f];

/** The canonical NaN of 64 bits. */
const NAN_64 = [0, 0, 0, 0, 0, 0, 0xf8, 0x7f];

const NOTHING = new Uint8Array(0);

/** How the values of a kind are made canonical. */
interface Canonical {
  /** Type of the value. */
  type: number;
  /** Instruction that returns the canonical NaN, in every lane. */
  constant: readonly number[];
  /** Instruction that compares: `ge` of a scalar, which is false for a NaN alone; `ne` of a vector. */
  compare: readonly number[];
  /** Instruction that makes an integer of the lanes that compare. */
  bitmask: readonly number[];
}

/** By kind, as in {@linkcode FloatFlow.resolve}. */
const CANONICAL: readonly Canonical[] = [
  { type: F32, constant: [0x43, ...NAN_32], compare: [0x60], bitmask: [] },
  { type: F64, constant: [0x44, ...NAN_64], compare: [0x66], bitmask: [] },
  {
    type: V128,
    constant: [0xfd, 0x0c, ...NAN_32, ...NAN_32, ...NAN_32, ...NAN_32],
    compare: [0xfd, 0x42], // f32x4.ne
    bitmask: [0xfd, 0xa4, 0x01], // i32x4.bitmask
  },
  {
    type: V128,
    constant: [0xfd, 0x0c, ...NAN_64, ...NAN_64],
    compare: [0xfd, 0x48], // f64x2.ne
    bitmask: [0xfd, 0xc4, 0x01], // i64x2.bitmask
  },
];

/**
 * Code that makes the value on top of the stack canonical. A branch that is never taken is cheaper than to select:
 * nothing waits for the comparison.
 *
 * @param variable Index of a local variable of the value's type.
 */
function canonicalCode(
  { constant, compare, bitmask }: Canonical,
  variable: Uint8Array,
): Uint8Array<ArrayBuffer> {
  const set = [0x21, ...variable];
  const tee = [0x22, ...variable];
  const get = [0x20, ...variable];
  const [IF, EMPTY, END, EQZ] = [0x04, 0x40, 0x0b, 0x45];
  const isNaN = [...tee, ...get, ...compare, ...(bitmask.length > 0 ? bitmask : [EQZ])];
  const lanes = [...get, ...get, ...get, ...compare, 0xfd, 0x52]; // v128.bitselect
  const replace = [...constant, ...(bitmask.length > 0 ? lanes : []), ...set];
  return Uint8Array.of(...isNaN, IF, EMPTY, ...replace, END, ...get);
}

/** Rewrites the bodies of one module. */
class BodyRewriter {
  /** Offsets in the original module where bytes were inserted. */
  readonly places: IntList = new IntList();
  /** Offsets after the inserted bytes, relative to the content of the section. */
  readonly ends: IntList = new IntList();
  readonly #bytes: Uint8Array;
  readonly #facts: ModuleFacts;
  readonly #reader: InstructionReader;
  readonly #analysis: NanAnalysis;
  readonly #body = new ByteWriter(0x10000);

  constructor(bytes: Uint8Array, facts: ModuleFacts) {
    this.#bytes = bytes;
    this.#facts = facts;
    this.#reader = new InstructionReader(bytes);
    this.#analysis = new NanAnalysis(bytes, { facts, reader: this.#reader });
  }

  /** Content of the code section; undefined if nothing changes. */
  rewrite(
    section: { start: number; end: number },
    arithmetic: Uint8Array | undefined,
  ): Uint8Array | undefined {
    const bytes = this.#bytes;
    const reader = new ByteReader(bytes, "code section", section);
    const count = reader.count("bodies", 3);
    const content = new ByteWriter((section.end - section.start) + 0x10000);
    content.u32(count);
    // Bodies that do not change are copied in runs.
    let copied = reader.position;
    this.#mark(section.start, 0);
    const copyUntil = (end: number): void => {
      content.copy(bytes, copied, end);
      copied = end;
    };
    for (let index = 0; index < count; index++) {
      const before = reader.position;
      const size = reader.u32();
      const start = reader.position;
      reader.skip(size);
      const end = reader.position;
      const isCandidate = arithmetic?.[index] ?? this.#hasArithmetic(start, end);
      if (!isCandidate || !this.#analyse(index, start, end)) continue;
      copyUntil(before);
      this.#write(index, end);
      const body = this.#body;
      content.u32(body.length);
      const shift = content.length;
      content.copy(body.bytes, 0, body.length);
      for (let at = this.#firstEnd; at < this.ends.length; at++) this.ends.values[at]! += shift;
      this.#mark(end, content.length);
      copied = end;
    }
    reader.finish();
    if (this.ends.length === 1) return undefined;
    copyUntil(section.end);
    return content.bytes;
  }

  #firstEnd = 0;

  /** Whether a body contains float arithmetic. Refuses unknown instructions. */
  #hasArithmetic(start: number, end: number): boolean {
    const reader = this.#reader;
    reader.seek(start, end);
    reader.readLocals(0);
    const bytes = this.#bytes;
    const { role } = PLAIN_EFFECTS;
    let found = false;
    let at = reader.position;
    // Nine tenths of all instructions are of the first kinds; the reader decodes the others.
    while (at < end) {
      const opcode = bytes[at++]!;
      const kind = PLAIN[opcode]!;
      if (kind === OPERAND.NONE) {
        if (role[opcode] === ROLE.ARITHMETIC) found = true;
      } else if (kind === OPERAND.INDEX || kind === OPERAND.SIGNED) {
        while (bytes[at++]! >= 0x80);
      } else if (kind !== OPERAND.END) {
        reader.seek(at - 1, end);
        reader.next();
        at = reader.position;
        if (reader.opcode > 0xff && this.#isArithmetic(reader.opcode)) found = true;
      }
    }
    return found;
  }

  #isArithmetic(opcode: number): boolean {
    const [prefix, code] = [opcode >>> 16, opcode & 0xffff];
    const role = PREFIXED_EFFECTS.get(prefix)?.role[code] ?? ROLE.OTHER;
    // The effects of some instructions on structs and arrays depend on their operands.
    if (role === ROLE.OTHER && prefix !== 0xfb) {
      this.#reader.fail(`has an unsupported instruction 0x${prefix.toString(16)} ${code}`);
    }
    return role === ROLE.ARITHMETIC;
  }

  #analyse(index: number, start: number, end: number): boolean {
    const shape = this.#facts.ofFunction(this.#facts.imported + index);
    if (shape === undefined) {
      this.#reader.fail(`has a body ${index} for which there is no function`);
    }
    this.#analysis.analyse(start, end, shape);
    return this.#analysis.flow.insertions.length > 0;
  }

  /** Writes the body that was analysed. */
  #write(index: number, end: number): void {
    const { insertions } = this.#analysis.flow;
    const { locals } = this.#analysis;
    const body = this.#body;
    body.clear();
    const sequences = this.#writeLocals(insertions, locals);
    this.#firstEnd = this.ends.length;
    this.#mark(locals.codeStart, body.length);
    let copied = locals.codeStart;
    for (const insertion of insertions) {
      const place = Math.floor(insertion / 4);
      body.copy(this.#bytes, copied, place);
      const sequence = sequences[insertion % 4]!;
      body.copy(sequence, 0, sequence.length);
      this.#mark(place, body.length);
      copied = place;
    }
    body.copy(this.#bytes, copied, end);
    if (body.length > MAX_BODY_BYTES) this.#refuse(index, ["bytes", body.length, MAX_BODY_BYTES]);
    if (locals.count + 3 > MAX_LOCALS) {
      this.#refuse(index, ["local variables", locals.count + 3, MAX_LOCALS]);
    }
  }

  /** Writes the declarations with one more local variable a type, and returns the code for each kind. */
  #writeLocals(insertions: Float64Array, locals: BodyLocals): Uint8Array[] {
    const used = CANONICAL.map(() => false);
    for (const insertion of insertions) used[insertion % 4] = true;
    const types = new Map<number, number>();
    CANONICAL.forEach(({ type }, kind) => {
      if (used[kind] && !types.has(type)) types.set(type, locals.count + types.size);
    });
    const body = this.#body;
    body.u32(locals.groups + types.size);
    body.copy(this.#bytes, locals.groupsStart, locals.codeStart);
    for (const type of types.keys()) {
      body.byte(1);
      body.byte(type);
    }
    return CANONICAL.map((canonical, kind) => {
      if (!used[kind]) return NOTHING;
      const variable = new ByteWriter(16);
      variable.u32(types.get(canonical.type) ?? 0);
      return canonicalCode(canonical, variable.bytes);
    });
  }

  #mark(place: number, end: number): void {
    this.places.push(place);
    this.ends.push(end);
  }

  #refuse(
    index: number,
    [what, asked, allowed]: [what: string, asked: number, allowed: number],
  ): never {
    throw badModule(
      `its function ${this.#facts.imported + index} has ${asked} ${what} with canonical NaNs, ` +
        `limit ${allowed}`,
      {
        hint: "Split the function, or run it without --deterministic",
        details: { function: this.#facts.imported + index, asked, allowed },
      },
    );
  }
}
