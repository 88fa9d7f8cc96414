/**
 * Rewrites a module so that it counts the instructions that it executes, and ends by a trap when its fuel is used up.
 * Definition, reasons and figures: docs/adr/0016-fuel.md.
 *
 * The rewritten module is valid only if the original is. Inserted instructions take nothing from the stack and leave
 * nothing on it, everything else is copied in its order, and indices that could become valid because the module has
 * one global variable and some local variables more are checked against the original.
 *
 * @module
 */
import { badModule, ByteReader } from "../reader.ts";
import { readSections, SECTION_ORDER, type Sections } from "../sections.ts";
import { ByteWriter } from "../writer.ts";
import { MAX_BODY_BYTES, MAX_LOCALS } from "./code_replacement.ts";
import { FuelCodeWriter } from "./fuel_code.ts";
import { FuelEventReader } from "./fuel_events.ts";
import { IntList } from "./int_list.ts";
import { InsertionMap } from "./insertion_map.ts";
import { ModuleFacts } from "./module_facts.ts";

const HEADER_BYTES = 8;
const FUNCTION_KIND = 0;
const GLOBAL_KIND = 3;
const I64 = 0x7e;
const MUTABLE = 1;

/** Names of the exports that are added; a number follows if the module has one of them. */
const ADDED_EXPORTS = { start: "start", fuel: "fuel" } as const;

/** Local variables that a body can get. */
const ADDED_LOCALS = 3;

/** Result of {@linkcode meterModule}. */
export interface MeteredBytes {
  /**
   * The rewritten module. Its last export is the fuel that is left at the last checkpoint, negative if it is used up.
   * Its start function is an export, too, so that the host can read the fuel while it runs. Both names end with the
   * same number if the module has exports named `fuel` or `start`.
   */
  bytes: Uint8Array<ArrayBuffer>;
  /** Maps offsets of instructions back. */
  insertions: InsertionMap;
}

/**
 * Rewrites a module.
 *
 * @param fuel Instructions that it may execute, at most `Number.MAX_SAFE_INTEGER`.
 * @throws {PlasmError} `bad-module` if a section is malformed, an instruction is unknown, or a function is too large
 */
export function meterModule(bytes: Uint8Array<ArrayBuffer>, fuel: number): MeteredBytes {
  if (bytes.length < HEADER_BYTES) throw badModule("its header is truncated");
  const sections = readSections(bytes);
  // As an export the start function may have any type, and code may refer to it.
  if (sections.known.has("start") && !WebAssembly.validate(bytes)) {
    throw badModule("it has a start function and is not valid");
  }
  const facts = new ModuleFacts(bytes, sections);
  const result = new ByteWriter(bytes.length * 2);
  const places = new IntList();
  const ends = new IntList();
  result.copy(bytes, 0, HEADER_BYTES);
  for (const [id, name] of SECTION_ORDER) {
    const section = sections.known.get(name);
    const start = section?.start ?? 0;
    const end = section?.end ?? 0;
    if (name === "global") {
      const content = new ByteWriter(end - start + 16);
      appendItem(content, bytes, { start, end, count: facts.definedGlobals });
      content.byte(I64);
      content.byte(MUTABLE);
      content.byte(0x42); // i64.const
      content.signed(fuel);
      content.byte(0x0b); // end
      result.byte(id);
      result.sized(content.bytes);
    } else if (name === "export") {
      result.byte(id);
      result.sized(exportsOf(bytes, { sections, globals: facts.globals }));
    } else if (name === "start") {
      // Exported instead.
    } else if (name === "code" && section !== undefined) {
      const first = ends.length;
      const content = writeBodies(bytes, { section, facts, places, ends });
      result.byte(id);
      result.sized(content);
      const shift = result.length - content.length;
      for (let at = first; at < ends.length; at++) ends.values[at]! += shift;
    } else if (section !== undefined) result.copy(bytes, section.header, section.end);
  }
  return {
    bytes: result.bytes,
    insertions: new InsertionMap({
      places: places.toOffsets(),
      ends: ends.toOffsets(),
    }),
  };
}

/** Writes a section's content with one more item, which the caller writes. */
function appendItem(
  content: ByteWriter,
  bytes: Uint8Array,
  { start, end, count }: { start: number; end: number; count: number },
): void {
  content.u32(count + 1);
  if (end === start) return;
  const reader = new ByteReader(bytes, "section", { start, end });
  reader.u32();
  content.copy(bytes, reader.position, end);
}

/** Content of the export section with the start function, if there is one, and the fuel. */
function exportsOf(
  bytes: Uint8Array,
  { sections, globals }: { sections: Sections; globals: number },
): Uint8Array {
  const section = sections.known.get("export");
  const start = sections.known.get("start");
  const names = new Set<string>();
  const content = new ByteWriter(64 + (section === undefined ? 0 : section.end - section.start));
  const reader = section && new ByteReader(bytes, "export section", section);
  const count = reader?.count("exports", 3) ?? 0;
  content.u32(count + (start === undefined ? 1 : 2));
  if (reader !== undefined) {
    const first = reader.position;
    for (let left = count; left > 0; left--) {
      names.add(reader.name());
      const kind = reader.byte();
      const index = reader.u32();
      if (kind === GLOBAL_KIND && index >= globals) reader.fail(`has no global variable ${index}`);
    }
    reader.finish();
    content.copy(bytes, first, reader.position);
  }
  let suffix = "";
  for (let number = 2; Object.values(ADDED_EXPORTS).some((name) => names.has(name + suffix));) {
    suffix = String(number++);
  }
  const add = (name: string, kind: number): void => {
    content.sized(new TextEncoder().encode(name + suffix));
    content.byte(kind);
  };
  if (start !== undefined) {
    add(ADDED_EXPORTS.start, FUNCTION_KIND);
    content.copy(bytes, start.start, start.end);
  }
  add(ADDED_EXPORTS.fuel, GLOBAL_KIND);
  content.u32(globals);
  return content.bytes;
}

/** Writes the code section's content; `ends` are relative to it. */
function writeBodies(
  bytes: Uint8Array,
  { section, facts, places, ends }: {
    section: { start: number; end: number };
    facts: ModuleFacts;
    places: IntList;
    ends: IntList;
  },
): Uint8Array {
  const reader = new ByteReader(bytes, "code section", section);
  const count = reader.count("bodies", 3);
  if (count !== facts.functions.length - facts.imported) reader.fail(`has ${count} bodies`);
  const events = new FuelEventReader(bytes, facts);
  const code = new FuelCodeWriter(bytes, { events, global: facts.globals });
  const content = new ByteWriter((section.end - section.start) * 2);
  const body = new ByteWriter(0x10000);
  content.u32(count);
  for (let index = 0; index < count; index++) {
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    const end = start + size;
    const shape = facts.ofFunction(facts.imported + index);
    if (shape === undefined) return reader.fail(`has a body ${index} without a type`);
    events.read(start, end, shape.parameters.length);
    body.clear();
    code.write(body, end);
    const locals = events.locals.count + ADDED_LOCALS;
    if (
      body.length > MAX_BODY_BYTES || (locals > MAX_LOCALS && events.locals.count <= MAX_LOCALS)
    ) {
      const [what, asked, allowed] = body.length > MAX_BODY_BYTES
        ? ["bytes", body.length, MAX_BODY_BYTES]
        : ["locals", locals, MAX_LOCALS];
      throw badModule(
        `its function ${
          facts.imported + index
        } has ${asked} ${what} when metered, limit ${allowed}`,
        { hint: "Run it without --fuel", details: { asked, allowed } },
      );
    }
    content.sized(body.bytes);
    const shift = content.length - body.length;
    for (let at = 0; at < code.ends.length; at++) {
      places.push(code.places.values[at]!);
      ends.push(code.ends.values[at]! + shift);
    }
  }
  reader.finish();
  return content.bytes;
}
