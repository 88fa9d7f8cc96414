/**
 * Rewrites the code of a module so that `memory.grow` traps where the system refuses memory that the module's limit allows. What it
 * returns is then the same on every machine: -1 at the limit only. Imported memories are excepted, which only the parts of
 * components have (docs/adr/0015-deterministic-profile.md).
 *
 * The rewritten module is valid only if the original is: inserted code takes and returns what is on the stack, and the
 * indices of local variables are checked against the original.
 *
 * @module
 */
import { badModule, ByteReader } from "../reader.ts";
import type { LimitsField } from "../size_limits.ts";
import { ByteWriter } from "../writer.ts";
import { type CodeContent, MAX_BODY_BYTES, MAX_LOCALS } from "./code_replacement.ts";
import { InsertionMap } from "./insertion_map.ts";
import { InstructionReader } from "./instruction_reader.ts";
import { IntList } from "./int_list.ts";
import type { ModuleFacts } from "./module_facts.ts";

const I32 = 0x7f;
const I64 = 0x7e;
const MEMORY_GROW = 0x40;

/** Largest memories that V8 accepts, in pages, by the width of their addresses. */
const MAX_PAGES = { narrow: 65_536n, wide: 262_144n };

/** Local variables that a body gets: two a width of addresses. */
const ADDED_LOCALS = 4;

/** Instructions that are inserted. */
const OP = {
  UNREACHABLE: 0x00,
  IF: 0x04,
  END: 0x0b,
  LOCAL_GET: 0x20,
  LOCAL_TEE: 0x22,
  MEMORY_SIZE: 0x3f,
  I32_CONST: 0x41,
  I64_CONST: 0x42,
  I32_EQ: 0x46,
  I64_EQ: 0x51,
  I64_LE_U: 0x58,
  I64_SUB: 0x7d,
  I64_EXTEND_I32_U: 0xad,
} as const;

const EMPTY_TYPE = 0x40;

/** Result of {@linkcode guardGrowth}. */
export interface GuardedCode {
  /** The rewritten content of the code section. */
  content: Uint8Array;
  /** Maps offsets of instructions in it back. */
  insertions: InsertionMap;
  /** Offsets in it of the instructions that trap where the system refuses memory. */
  traps: ReadonlySet<number>;
}

/** Options of {@linkcode guardGrowth}. */
export interface GuardGrowthOptions {
  /** Facts about the module. */
  facts: ModuleFacts;
  /** 1 for each body that contains `memory.grow`. @default {all bodies are read to find out} */
  grows?: Uint8Array | undefined;
}

/**
 * Rewrites a code section; returns undefined if nothing has to change.
 *
 * @throws {PlasmError} `bad-module` if an instruction is unknown or a function would become too large
 */
export function guardGrowth(
  { bytes, start, end }: CodeContent,
  { facts, grows }: GuardGrowthOptions,
): GuardedCode | undefined {
  if (grows?.includes(1) === false) return undefined;
  const bodies = new GuardWriter(bytes, facts);
  const content = bodies.rewrite({ start, end }, grows);
  if (content === undefined) return undefined;
  const { places, ends, traps } = bodies;
  const insertions = new InsertionMap({ places: places.toOffsets(), ends: ends.toOffsets() });
  return { content, insertions, traps: new Set(traps) };
}

/** Writes the bodies of one module. Offsets are relative to the content of the section. */
class GuardWriter {
  readonly places = new IntList();
  readonly ends = new IntList();
  readonly traps: number[] = [];
  readonly #bytes: Uint8Array;
  readonly #facts: ModuleFacts;
  readonly #reader: InstructionReader;
  readonly #body = new ByteWriter(0x1000);

  constructor(bytes: Uint8Array, facts: ModuleFacts) {
    this.#bytes = bytes;
    this.#facts = facts;
    this.#reader = new InstructionReader(bytes);
  }

  /** Content of the code section; undefined if nothing changes. */
  rewrite(
    section: { start: number; end: number },
    grows: Uint8Array | undefined,
  ): Uint8Array | undefined {
    const bytes = this.#bytes;
    const reader = new ByteReader(bytes, "code section", section);
    const count = reader.count("bodies", 3);
    const content = new ByteWriter(section.end - section.start + 0x1000);
    content.u32(count);
    // Bodies that do not change are copied in runs.
    let copied = reader.position;
    this.#mark(section.start, 0);
    for (let index = 0; index < count; index++) {
      const before = reader.position;
      const size = reader.u32();
      const start = reader.position;
      reader.skip(size);
      const end = start + size;
      if (grows?.[index] === 0) continue;
      const first = { end: this.ends.length, trap: this.traps.length };
      if (!this.#write(index, start, end)) continue;
      content.copy(bytes, copied, before);
      content.sized(this.#body.bytes);
      const shift = content.length - this.#body.length;
      for (let at = first.end; at < this.ends.length; at++) this.ends.values[at]! += shift;
      for (let at = first.trap; at < this.traps.length; at++) this.traps[at]! += shift;
      this.#mark(end, content.length);
      copied = end;
    }
    reader.finish();
    if (this.traps.length === 0) return undefined;
    content.copy(bytes, copied, section.end);
    return content.bytes;
  }

  /** Writes a body; returns false if it contains no `memory.grow`. */
  #write(index: number, start: number, end: number): boolean {
    const bytes = this.#bytes;
    const reader = this.#reader;
    const shape = this.#facts.ofFunction(this.#facts.imported + index);
    reader.seek(start, end);
    if (shape === undefined) return reader.fail(`has a body ${index} without a type`);
    const { count, groups, groupsStart, codeStart } = reader.readLocals(shape.parameters.length);
    const body = this.#body;
    body.clear();
    body.u32(groups + 2);
    body.copy(bytes, groupsStart, codeStart);
    for (const type of [I32, I64]) {
      body.u32(2);
      body.byte(type);
    }
    let copied = codeStart;
    const marks = this.ends.length;
    this.#mark(copied, body.length);
    while (reader.position < end) {
      reader.skipFrequent(count);
      if (reader.position >= end) break;
      reader.next();
      const { opcode, first } = reader;
      if (opcode >= 0x20 && opcode <= 0x22 && first >= count) {
        reader.fail(`has no local variable ${first}`);
      }
      // The limit of an imported memory is in another module.
      if (opcode !== MEMORY_GROW || first < this.#facts.importedMemories) continue;
      const limits = this.#facts.memories[first];
      if (limits === undefined) return reader.fail(`has no memory ${first}`);
      body.copy(bytes, copied, reader.start);
      copied = reader.position;
      this.#guard(limits, { memory: first, pages: count + (limits.is64 ? 2 : 0) });
      this.#mark(copied, body.length);
    }
    if (copied === codeStart) {
      this.places.length = this.ends.length = marks;
      return false;
    }
    body.copy(bytes, copied, end);
    const locals = count + ADDED_LOCALS;
    if (body.length > MAX_BODY_BYTES || (locals > MAX_LOCALS && count <= MAX_LOCALS)) {
      throw badModule(
        `its function ${this.#facts.imported + index} is too large to check its use of memory`,
        { hint: "Split the function, or run it without --deterministic and --fuel" },
      );
    }
    return true;
  }

  /** Writes `memory.grow`. `pages` is the first of two local variables: the pages asked for, and the result. */
  #guard(
    { is64, maximum }: LimitsField,
    { memory, pages }: { memory: number; pages: number },
  ): void {
    const body = this.#body;
    const most = is64 ? MAX_PAGES.wide : MAX_PAGES.narrow;
    const limit = Number(maximum === undefined || maximum > most ? most : maximum);
    const onLocal = (opcode: number, index: number): void => {
      body.byte(opcode);
      body.u32(index);
    };
    const extend = (): void => {
      if (!is64) body.byte(OP.I64_EXTEND_I32_U);
    };
    onLocal(OP.LOCAL_TEE, pages);
    onLocal(MEMORY_GROW, memory);
    onLocal(OP.LOCAL_TEE, pages + 1);
    body.byte(is64 ? OP.I64_CONST : OP.I32_CONST);
    body.signed(-1);
    body.byte(is64 ? OP.I64_EQ : OP.I32_EQ);
    body.byte(OP.IF);
    body.byte(EMPTY_TYPE);
    onLocal(OP.LOCAL_GET, pages);
    extend();
    body.byte(OP.I64_CONST);
    body.signed(limit);
    onLocal(OP.MEMORY_SIZE, memory);
    extend();
    body.byte(OP.I64_SUB);
    body.byte(OP.I64_LE_U);
    body.byte(OP.IF);
    body.byte(EMPTY_TYPE);
    this.traps.push(body.length);
    body.byte(OP.UNREACHABLE);
    body.byte(OP.END);
    body.byte(OP.END);
    onLocal(OP.LOCAL_GET, pages + 1);
  }

  #mark(place: number, end: number): void {
    this.places.push(place);
    this.ends.push(end);
  }
}
