/**
 * Writes a module with its functions in another order: every index of a function is written anew.
 * @module
 */
import { ByteReader } from "../reader.ts";
import type { Section, SectionName, Sections } from "../sections.ts";
import { ByteWriter } from "../writer.ts";
import type { Code } from "./code.ts";
import { copyElements, copyExports, copyGlobals, copyStart, copyTables } from "./copy_sections.ts";
import type { FunctionOrder } from "./order.ts";

const HEADER_BYTES = 8;

/** The body of a function that is never called: no locals, `unreachable`, `end`. */
const FILLER = Uint8Array.of(0x00, 0x00, 0x0b);

/** What the rewriting of a section is given. */
export interface CopyTask {
  reader: ByteReader;
  writer: ByteWriter;
  order: FunctionOrder;
}

const COPIES: Partial<Record<SectionName, (task: CopyTask) => void>> = {
  function: copyFunctions,
  table: copyTables,
  global: copyGlobals,
  export: copyExports,
  start: copyStart,
  element: copyElements,
};

/**
 * Writes the module anew. Custom sections are left out: none of them changes what a module does, and
 * what they say of functions would be of others.
 *
 * @returns The module, and where each body begins in it.
 * @throws {PlasmError} `bad-module` where a section is not what it should be, or not known here.
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
    // Indices that get longer do so by a byte, nearly always.
    const grown = copy === undefined ? code.references.count : 0;
    const writer = new ByteWriter(section.end - section.start + grown);
    if (copy === undefined) writeCode(writer, bytes, { code, order, starts });
    else copySection(copy, { bytes, name, section, writer, order });
    result.byte(bytes[section.header]!);
    result.sized(writer.bytes);
    if (name !== "code") continue;
    const shift = result.length - writer.length;
    for (let place = 0; place < starts.length; place++) starts[place]! += shift;
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
  const places = types.length + order.fillers;
  writer.u32(places);
  for (let place = 0; place < places; place++) {
    // A filler fits any type; it has one that is there.
    writer.u32(types[order.index(order.imported + place) - order.imported] ?? types[0]!);
  }
}

function writeCode(
  writer: ByteWriter,
  bytes: Uint8Array,
  { code, order, starts }: { code: Code; order: FunctionOrder; starts: Uint32Array },
): void {
  const body = new ByteWriter(0x10000);
  const places = code.count + order.fillers;
  writer.u32(places);
  for (let place = 0; place < places; place++) {
    const index = order.index(order.imported + place) - order.imported;
    body.clear();
    if (index < code.count) writeBody(body, bytes, { code, order, index });
    else body.copy(FILLER, 0, FILLER.length);
    writer.sized(body.bytes);
    starts[place] = writer.length - body.length;
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
