/**
 * Reads the export section: a command exports its memory as `memory` and its entry as `_start`.
 * @module
 */
import { badModule, quoteName } from "./bad_module.ts";
import { ByteReader } from "./reader.ts";
import { type ExternalKind, readKind } from "./imports_section.ts";
import type { Section } from "./sections.ts";

/** An export of a module that was accepted. */
export interface InspectedExport {
  name: string;
  kind: ExternalKind;
  /** Index among the things of its kind. */
  index: number;
}

/**
 * V8 takes ten times as many, but makes an object of each function exported: at instantiation a
 * million cost 1.7 s and 138 MB (V8 15.0), a hundred thousand 43 ms and 13 MB.
 */
const MAX_EXPORTS = 100_000;

/** Reads the export section; without one there are no exports. */
export function readExports(bytes: Uint8Array, section: Section | undefined): InspectedExport[] {
  const list: InspectedExport[] = [];
  if (section === undefined) return list;
  const reader = new ByteReader(bytes, "export section", section);
  const count = reader.count("exports", 3);
  if (count > MAX_EXPORTS) reader.fail(`has ${count} exports, ${MAX_EXPORTS} are allowed,`);
  const names = new Set<string>();
  for (let left = count; left > 0; left--) {
    const name = reader.name();
    const kind = readKind(reader);
    if (names.has(name)) reader.fail(`names ${quoteName(name)} twice`);
    names.add(name);
    list.push({ name, kind, index: reader.u32() });
  }
  reader.finish();
  return list;
}

/** Throws `bad-module` unless the exports are those of a WASI command; gives its entry's index. */
export function checkCommand(exports: readonly InspectedExport[]): number {
  const of = (name: string): InspectedExport | undefined =>
    exports.find((one) => one.name === name);
  const start = of("_start");
  const memory = of("memory");
  if (start === undefined && of("_initialize") !== undefined) {
    throw badModule("it is a reactor (exports _initialize, no _start), a job must be a command", {
      hint: "Build it without -mexec-model=reactor and with a main function",
    });
  }
  if (start === undefined && memory === undefined) {
    throw badModule("it exports neither _start nor memory", {
      hint: "A job is a WASI command: build a program with a main function for wasm32-wasip1",
    });
  }
  if (start === undefined) {
    throw badModule("it exports no _start, so there is nothing to run", {
      hint: "Build it as a command, with a main function: a library cannot run",
    });
  }
  if (memory === undefined) {
    throw badModule("it exports no memory, so that no WASI call could work", {
      hint: 'Export its memory under the name "memory"',
    });
  }
  for (const [found, kind] of [[start, "function"], [memory, "memory"]] as const) {
    if (found.kind === kind) continue;
    throw badModule(`its export ${found.name} is a ${found.kind}, it must be a ${kind}`);
  }
  return start.index;
}
