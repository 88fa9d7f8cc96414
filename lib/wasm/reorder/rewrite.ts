/**
 * Rewrites a module with its functions in another order, and every function index with them.
 *
 * @module
 */
import { readLimits, TABLE_WITH_INITIALIZER } from "../size_limits.ts";
import { ByteReader } from "../reader.ts";
import type { Section, SectionName, Sections } from "../sections.ts";
import { skipReferenceType } from "../type_section.ts";
import { ByteWriter } from "../writer.ts";
import type { Code } from "./code_section.ts";

/** A permutation of functions. Indices count imported functions, which keep their index. */
export interface FunctionOrder {
  /** Number of imported functions. */
  imported: number;
  /** Number of functions appended that are never called. */
  fillers: number;
  /** Whether any function moves. */
  changes: boolean;
  /** New index of a function. Its own inverse, because functions only swap in pairs. */
  index(old: number): number;
}

/** Options of {@linkcode orderFunctions}. */
export interface OrderOptions {
  /** Number of imported functions. */
  imported: number;
  /** Number of functions with a body. */
  count: number;
  /** Number of leading slots, at least the number of selected functions. */
  slots: number;
}

/**
 * Computes the order in which exactly the selected functions occupy the leading slots. Other functions there swap
 * with selected ones, or move to the end if too few are selected; fillers take their slots.
 *
 * @param selected Body indices, which do not count imported functions.
 */
export function orderFunctions(
  selected: readonly number[],
  { imported, count, slots }: OrderOptions,
): FunctionOrder {
  const wanted = new Set(selected);
  const arriving = selected.filter((index) => index >= slots);
  const leaving = Array.from({ length: Math.min(slots, count) }, (_, slot) => slot)
    .filter((slot) => !wanted.has(slot));
  const moved = new Map<number, number>();
  const firstFree = Math.max(count, slots);
  let next = firstFree;
  for (const slot of leaving) {
    const other = arriving.shift() ?? next++;
    moved.set(imported + slot, imported + other);
    moved.set(imported + other, imported + slot);
  }
  const fillers = next === firstFree ? 0 : next - count;
  return { imported, fillers, changes: moved.size > 0, index: (old) => moved.get(old) ?? old };
}

const HEADER_BYTES = 8;

/** Body of a filler function: no locals, `unreachable`, `end`. */
const FILLER = Uint8Array.of(0x00, 0x00, 0x0b);

/** Input and output of copying one section. */
interface CopyTask {
  reader: ByteReader;
  writer: ByteWriter;
  order: FunctionOrder;
}

/** Sections with function indices outside the code section (core specification 5.5); others are copied verbatim. */
const COPIES: Partial<Record<SectionName, (task: CopyTask) => void>> = {
  function: copyFunctions,
  table: copyTables,
  global: copyGlobals,
  export: copyExports,
  start: copyStart,
  element: copyElements,
};

/**
 * Rewrites the module. Custom sections are dropped: they do not change behaviour, and their function indices would
 * be wrong.
 *
 * @returns The module and the offset of each body in it.
 * @throws {PlasmError} `bad-module` if a section is malformed or has an unknown form.
 */
export function rewriteModule(
  bytes: Uint8Array,
  { known }: Sections,
  { code, order }: { code: Code; order: FunctionOrder },
): { bytes: Uint8Array<ArrayBuffer>; starts: Uint32Array } {
  const starts = new Uint32Array(code.count + order.fillers);
  const result = new ByteWriter(bytes.length + code.references.count);
  result.copy(bytes, 0, HEADER_BYTES);
  for (const [name, section] of known) {
    const copy = COPIES[name];
    if (name !== "code" && copy === undefined) {
      result.copy(bytes, section.header, section.end);
      continue;
    }
    // An index that gets longer nearly always grows by one byte.
    const grown = copy === undefined ? code.references.count : 0;
    const writer = new ByteWriter(section.end - section.start + grown);
    if (copy === undefined) writeCode(writer, bytes, { code, order, starts });
    else copySection(copy, { bytes, name, section, writer, order });
    result.byte(bytes[section.header]!);
    result.sized(writer.bytes);
    if (name !== "code") continue;
    const shift = result.length - writer.length;
    for (let slot = 0; slot < starts.length; slot++) starts[slot]! += shift;
  }
  return { bytes: result.bytes, starts };
}

function copySection(
  copy: (task: CopyTask) => void,
  { bytes, name, section, writer, order }: {
    bytes: Uint8Array;
    name: SectionName;
    section: Section;
    writer: ByteWriter;
    order: FunctionOrder;
  },
): void {
  const reader = new ByteReader(bytes, `${name} section`, section);
  copy({ reader, writer, order });
  reader.finish();
}

function copyFunctions({ reader, writer, order }: CopyTask): void {
  const types = new Uint32Array(reader.count("functions"));
  for (let index = 0; index < types.length; index++) types[index] = reader.u32();
  const slots = types.length + order.fillers;
  writer.u32(slots);
  for (let slot = 0; slot < slots; slot++) {
    // A filler matches any type; it takes the first.
    writer.u32(types[order.index(order.imported + slot) - order.imported] ?? types[0]!);
  }
}

function writeCode(
  writer: ByteWriter,
  bytes: Uint8Array,
  { code, order, starts }: { code: Code; order: FunctionOrder; starts: Uint32Array },
): void {
  const body = new ByteWriter(0x10000);
  const slots = code.count + order.fillers;
  writer.u32(slots);
  for (let slot = 0; slot < slots; slot++) {
    const index = order.index(order.imported + slot) - order.imported;
    body.clear();
    if (index < code.count) writeBody(body, bytes, { code, order, index });
    else body.copy(FILLER, 0, FILLER.length);
    writer.sized(body.bytes);
    starts[slot] = writer.length - body.length;
  }
}

function writeBody(
  body: ByteWriter,
  bytes: Uint8Array,
  { code, order, index }: { code: Code; order: FunctionOrder; index: number },
): void {
  const { references } = code;
  const start = code.start[index]!;
  let copied = start;
  for (let at = code.firstReference[index]!; at < code.firstReference[index + 1]!; at++) {
    const old = references.to[at]!;
    const now = order.index(old);
    if (now === old) continue;
    body.copy(bytes, copied, references.at[at]!);
    body.u32(now);
    copied = references.at[at]! + references.length[at]!;
  }
  body.copy(bytes, copied, start + code.size[index]!);
}

const FUNCTION_KIND = 0;
const REF_NULL = 0x63;
const REF = 0x64;
const END = 0x0b;

// Flag bits of an element segment.
const NOT_ACTIVE = 1;
const EXPLICIT = 2;
const EXPRESSIONS = 4;

function copyExports({ reader, writer, order }: CopyTask): void {
  let left = reader.count("exports", 3);
  for (writer.u32(left); left > 0; left--) {
    const start = reader.position;
    reader.skip(reader.u32());
    const kind = reader.byte();
    writer.copy(reader.bytes, start, reader.position);
    const index = reader.u32();
    writer.u32(kind === FUNCTION_KIND ? order.index(index) : index);
  }
}

function copyStart({ reader, writer, order }: CopyTask): void {
  writer.u32(order.index(reader.u32()));
}

function copyGlobals(task: CopyTask): void {
  const { reader, writer } = task;
  let left = reader.count("globals", 3);
  for (writer.u32(left); left > 0; left--) {
    const start = reader.position;
    skipValueType(task);
    reader.skip(1);
    writer.copy(reader.bytes, start, reader.position);
    copyExpression(task);
  }
}

function copyTables(task: CopyTask): void {
  const { reader, writer } = task;
  let left = reader.count("tables", 3);
  for (writer.u32(left); left > 0; left--) {
    const start = reader.position;
    const initialized = reader.bytes[start] === TABLE_WITH_INITIALIZER;
    if (initialized) reader.skip(2);
    skipReferenceType(reader);
    readLimits(reader);
    writer.copy(reader.bytes, start, reader.position);
    if (initialized) copyExpression(task);
  }
}

function copyElements(task: CopyTask): void {
  const { reader, writer, order } = task;
  let left = reader.count("segments", 2);
  for (writer.u32(left); left > 0; left--) {
    const flags = reader.u32();
    if (flags > 7) reader.fail("has an unknown segment form");
    writer.u32(flags);
    if ((flags & NOT_ACTIVE) === 0) {
      if ((flags & EXPLICIT) !== 0) writer.u32(reader.u32());
      copyExpression(task);
    }
    const expressions = (flags & EXPRESSIONS) !== 0;
    if ((flags & (NOT_ACTIVE | EXPLICIT)) !== 0) {
      const start = reader.position;
      if (expressions) skipValueType(task);
      else reader.skip(1);
      writer.copy(reader.bytes, start, reader.position);
    }
    let items = reader.count("elements");
    for (writer.u32(items); items > 0; items--) {
      if (expressions) copyExpression(task);
      else writer.u32(order.index(reader.u32()));
    }
  }
}

function skipValueType({ reader }: CopyTask): void {
  const byte = reader.byte();
  if (byte === REF || byte === REF_NULL) reader.skipSigned(33);
}

/** Copies a constant expression; fails on GC and SIMD instructions. */
function copyExpression({ reader, writer, order }: CopyTask): void {
  while (true) {
    const start = reader.position;
    const opcode = reader.byte();
    if (opcode === 0xd2) { // ref.func
      writer.byte(opcode);
      writer.u32(order.index(reader.u32()));
      continue;
    }
    if (opcode === 0x23) reader.u32(); // global.get
    else if (opcode === 0x41) reader.skipSigned(32); // i32.const
    else if (opcode === 0x42) reader.skipSigned(64); // i64.const
    else if (opcode === 0x43) reader.skip(4); // f32.const
    else if (opcode === 0x44) reader.skip(8); // f64.const
    else if (opcode === 0xd0) reader.skipSigned(33); // ref.null
    else if (!isArithmetic(opcode) && opcode !== END) {
      reader.fail("has an unsupported constant expression");
    }
    writer.copy(reader.bytes, start, reader.position);
    if (opcode === END) return;
  }
}

/** Whether an opcode adds, subtracts or multiplies integers. */
function isArithmetic(opcode: number): boolean {
  return (opcode >= 0x6a && opcode <= 0x6c) || (opcode >= 0x7c && opcode <= 0x7e);
}
