/**
 * Finds functions by code offset, and their names in the name section (core specification, appendix "Name Section").
 *
 * @module
 */
import { readKind } from "../import_section.ts";
import { ByteReader } from "../reader.ts";
import type { Section, Sections } from "../sections.ts";

/** Most bytes of names that are searched: 1 MB takes 5 ms. */
const MAX_NAMES_BYTES = 16 * 2 ** 20;

/** Longest name that is read, in bytes; mangled names of templates have thousands. */
const MAX_NAME_BYTES = 4096;

/** Id of the subsection with the names of functions. */
const FUNCTION_NAMES = 1;

const DECODER = new TextDecoder();

/** Returns the index of the function, counting imported ones, that contains each offset; undefined if none does. */
export function functionsAt(
  module: Uint8Array,
  sections: Sections,
  offsets: readonly number[],
): (number | undefined)[] {
  const found: (number | undefined)[] = offsets.map(() => undefined);
  const code = sections.known.get("code");
  if (code === undefined) return found;
  const imported = countImported(module, sections.known.get("import"));
  const reader = new ByteReader(module, "code section", code);
  const count = reader.count("functions");
  for (let body = 0; body < count; body++) {
    const size = reader.u32();
    const start = reader.position;
    reader.skip(size);
    offsets.forEach((offset, at) => {
      if (offset >= start && offset < reader.position) found[at] = imported + body;
    });
  }
  return found;
}

/** Number of imported functions; jobs import nothing else. */
function countImported(module: Uint8Array, section: Section | undefined): number {
  if (section === undefined) return 0;
  const reader = new ByteReader(module, "import section", section);
  const count = reader.count("imports", 4);
  for (let left = count; left > 0; left--) {
    reader.skip(reader.u32());
    reader.skip(reader.u32());
    if (readKind(reader) !== "function") reader.fail("imports more than functions");
    reader.u32();
  }
  return count;
}

/** Reads the names of some functions from the content of a name section. */
export function functionNames(
  module: Uint8Array,
  section: Pick<Section, "start" | "end">,
  indices: ReadonlySet<number>,
): Map<number, string> {
  const names = new Map<number, string>();
  if (section.end - section.start > MAX_NAMES_BYTES) return names;
  const reader = new ByteReader(module, "name section", section);
  while (reader.left > 0) {
    const id = reader.byte();
    const size = reader.u32();
    if (id !== FUNCTION_NAMES) {
      reader.skip(size);
      continue;
    }
    for (let left = reader.count("names", 2); left > 0 && names.size < indices.size; left--) {
      const index = reader.u32();
      const length = reader.u32();
      const start = reader.position;
      reader.skip(length);
      if (!indices.has(index)) continue;
      names.set(
        index,
        DECODER.decode(module.subarray(start, start + Math.min(length, MAX_NAME_BYTES))),
      );
    }
    break;
  }
  return names;
}
