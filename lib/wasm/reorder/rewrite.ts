/**
 * Rewrites a module with its functions in another order, and every function index with them.
 *
 * @module
 */
import { readConstantExpression } from "../constant_expression.ts";
import { readLimits, TABLE_WITH_INITIALIZER } from "../size_limits.ts";
import { ByteReader } from "../reader.ts";
import type { Section, SectionName, Sections } from "../sections.ts";
import { skipReferenceType } from "../type_section.ts";
import { ByteWriter } from "../writer.ts";
import type { Code } from "./code_section.ts";
import { copyWithIndices, References } from "./references.ts";

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

/** Finds the function indices of a section; throws `bad-module` for an unknown form. */
type FindReferences = (reader: ByteReader, references: References) => void;

/** Sections with function indices besides the code section (core specification 5.5). */
const FINDERS: Partial<Record<SectionName, FindReferences>> = {
  table: findInTables,
  global: findInGlobals,
  export: findInExports,
  start: (reader, references) => references.read(reader),
  element: findInElements,
  data: findInData,
};

/**
 * Rewrites the module. Custom sections are dropped: they do not change behaviour, and their function indices would
 * be wrong.
 *
 * The rewritten module is valid only if the original is. Everything but the function indices is copied, in an order
 * that follows from the copied bytes alone, so that V8 reads in the result what was read here; and the indices, which
 * V8 can no longer check because fillers extend the range, are checked by {@linkcode References}.
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
    const content = rewriteSection(bytes, { name, section, code, order, starts });
    if (content === undefined) {
      result.copy(bytes, section.header, section.end);
      continue;
    }
    result.byte(bytes[section.header]!);
    result.sized(content);
    if (name !== "code") continue;
    const shift = result.length - content.length;
    for (let slot = 0; slot < starts.length; slot++) starts[slot]! += shift;
  }
  return { bytes: result.bytes, starts };
}

/** Content of a section in the rewritten module; undefined if it is the same. Sets `starts` for the code section. */
function rewriteSection(
  bytes: Uint8Array,
  { name, section, code, order, starts }: {
    name: SectionName;
    section: Section;
    code: Code;
    order: FunctionOrder;
    starts: Uint32Array;
  },
): Uint8Array | undefined {
  const { start, end } = section;
  if (name === "code") {
    // An index that gets longer nearly always grows by one byte.
    const writer = new ByteWriter(end - start + code.references.count);
    writeCode(writer, bytes, { code, order, starts });
    return writer.bytes;
  }
  const reader = new ByteReader(bytes, `${name} section`, section);
  if (name === "function") {
    const writer = new ByteWriter(end - start);
    copyFunctions(reader, { writer, order });
    reader.finish();
    return writer.bytes;
  }
  const find = FINDERS[name];
  if (find === undefined) return undefined;
  const references = new References(order.imported + code.count);
  find(reader, references);
  reader.finish();
  if (references.count === 0) return undefined;
  const writer = new ByteWriter(end - start + references.count);
  copyWithIndices(writer, bytes, references, { start, end, index: order.index });
  return writer.bytes;
}

function copyFunctions(
  reader: ByteReader,
  { writer, order }: { writer: ByteWriter; order: FunctionOrder },
): void {
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
  const start = code.start[index]!;
  copyWithIndices(body, bytes, code.references, {
    start,
    end: start + code.size[index]!,
    first: code.firstReference[index]!,
    last: code.firstReference[index + 1]!,
    index: order.index,
  });
}

const FUNCTION_KIND = 0;
const REF_NULL = 0x63;
const REF = 0x64;

// Flag bits of an element segment.
const NOT_ACTIVE = 1;
const EXPLICIT = 2;
const EXPRESSIONS = 4;

function findInExports(reader: ByteReader, references: References): void {
  for (let left = reader.count("exports", 3); left > 0; left--) {
    reader.skip(reader.u32());
    if (reader.byte() === FUNCTION_KIND) references.read(reader);
    else reader.u32();
  }
}

function findInGlobals(reader: ByteReader, references: References): void {
  for (let left = reader.count("globals", 3); left > 0; left--) {
    skipValueType(reader);
    reader.skip(1);
    findInExpression(reader, references);
  }
}

function findInTables(reader: ByteReader, references: References): void {
  for (let left = reader.count("tables", 3); left > 0; left--) {
    const initialized = reader.bytes[reader.position] === TABLE_WITH_INITIALIZER;
    if (initialized) reader.skip(2);
    skipReferenceType(reader);
    readLimits(reader);
    if (initialized) findInExpression(reader, references);
  }
}

function findInElements(reader: ByteReader, references: References): void {
  for (let left = reader.count("segments", 2); left > 0; left--) {
    const flags = reader.u32();
    if (flags > (NOT_ACTIVE | EXPLICIT | EXPRESSIONS)) reader.fail("has an unknown segment form");
    if ((flags & NOT_ACTIVE) === 0) {
      if ((flags & EXPLICIT) !== 0) reader.u32();
      findInExpression(reader, references);
    }
    const expressions = (flags & EXPRESSIONS) !== 0;
    if ((flags & (NOT_ACTIVE | EXPLICIT)) !== 0) {
      if (expressions) skipValueType(reader);
      else reader.skip(1);
    }
    for (let items = reader.count("elements"); items > 0; items--) {
      if (expressions) findInExpression(reader, references);
      else references.read(reader);
    }
  }
}

// Forms of a data segment.
const PASSIVE_DATA = 1;
const DATA_WITH_MEMORY = 2;

function findInData(reader: ByteReader, references: References): void {
  for (let left = reader.count("segments", 2); left > 0; left--) {
    const form = reader.u32();
    if (form > DATA_WITH_MEMORY) reader.fail("has an unknown segment form");
    if (form === DATA_WITH_MEMORY) reader.u32();
    if (form !== PASSIVE_DATA) findInExpression(reader, references);
    reader.skip(reader.u32());
  }
}

function findInExpression(reader: ByteReader, references: References): void {
  readConstantExpression(reader, () => references.read(reader));
}

function skipValueType(reader: ByteReader): void {
  const byte = reader.byte();
  if (byte === REF || byte === REF_NULL) reader.skipSigned(33);
}
