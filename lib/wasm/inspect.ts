/**
 * Inspects a module before compilation: rejects what is not a runnable WASI command, and lowers the maxima of its
 * memories and tables to the job's limits.
 *
 * Every step is linear in the module's size, and allocations are proportional to the bytes present, never to a
 * declared count: a module of 26 MB takes 20 ms. Function bodies are left to V8 and its limits (a million
 * functions, 7.6 MB and 50,000 locals each). Stricter limits on bodies would reject real programs without bounding
 * the cost: on V8 15.0's optimizing compiler it grows with locals times nesting (60 KB can take 6 GB in 14 s,
 * 160 KB 12 GB in 75 s) and with validated locals (800 KB can take 12 s). The child process charges compilation to
 * the job instead. A million empty functions cost 0.4 s and 120 MB, ten million element entries 0.3 s and 12 MB,
 * a hundred thousand data segments 10 ms.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { checkHeader } from "./header.ts";
import {
  type ExternalKind,
  type InspectedImport,
  readImports,
  readKind,
} from "./import_section.ts";
import { badModule, ByteReader, quoteName } from "./reader.ts";
import { readSections, type Section } from "./sections.ts";
import {
  type InspectedMemory,
  type InspectedTable,
  readMemories,
  readTables,
} from "./size_limits.ts";
import { functionType, readTypes } from "./type_section.ts";
import { patchSections, type SectionEdits } from "./writer.ts";

/**
 * Default limit for the entries of all tables. V8 15.0 uses 24 bytes per entry of a funcref table, 24 MB for a
 * million, in addition to the job's memory. CPython 3.12 has 5,903 entries.
 */
export const DEFAULT_TABLE_ENTRIES = 1_000_000;

/** Limits for a module. */
export interface InspectLimits {
  /** Largest module, in bytes. */
  moduleBytes: number;
  /** Largest sum of all linear memories, in bytes. */
  memoryBytes: number;
  /**
   * Largest sum of all tables, in entries.
   * @default {DEFAULT_TABLE_ENTRIES}
   */
  tableEntries?: number | undefined;
}

/** A module that may be compiled. */
export interface InspectedModule {
  /** The module with lowered maxima; the input bytes if nothing had to change. */
  bytes: Uint8Array<ArrayBuffer>;
  memories: InspectedMemory[];
  tables: InspectedTable[];
  imports: InspectedImport[];
  exports: InspectedExport[];
  /** Initial size of all linear memories, in bytes. */
  initialMemoryBytes: number;
  /** Defines struct or array types, which can fill the V8 heap; no memory maximum limits that. */
  usesGc: boolean;
  /** Defines exception tags; exceptions that reference each other can fill the V8 heap too. */
  usesExceptions: boolean;
  /** Defines a shared memory: its `buffer` is a SharedArrayBuffer, and `memory.atomic.wait32` can block. */
  usesSharedMemory: boolean;
}

/**
 * Inspects a module and lowers its limits.
 *
 * A single memory gets the limit as its maximum unless it declares a lower one. Several memories share what their
 * initial sizes leave of the limit in equal parts. The same applies to tables.
 *
 * @throws {PlasmError} `bad-module` if it is not a WASI preview1 command, `too-large` above `moduleBytes`,
 * `job-memory` if its memories start above `memoryBytes`, `over-limit` if its tables start above `tableEntries`.
 */
export function inspectModule(module: Uint8Array, limits: InspectLimits): InspectedModule {
  if (module.length > limits.moduleBytes) {
    throw new PlasmError(
      "too-large",
      `Cannot run module: it has ${module.length} bytes, limit ${limits.moduleBytes}`,
      {
        hint: "Strip the module's debug information or raise the node's module limit",
        details: { asked: module.length, allowed: limits.moduleBytes },
      },
    );
  }
  const bytes = unshared(module);
  checkHeader(bytes);
  const { known, linkerSections } = readSections(bytes);
  const types = readTypes(bytes, known.get("type"));
  const imports = readImports(bytes, { section: known.get("import"), types, linkerSections });
  const tables = readTables(bytes, {
    section: known.get("table"),
    limit: limits.tableEntries ?? DEFAULT_TABLE_ENTRIES,
  });
  const memories = readMemories(bytes, {
    section: known.get("memory"),
    limitBytes: limits.memoryBytes,
  });
  const exports = readExports(bytes, known.get("export"));
  const typeIndex = typeIndexOf(bytes, {
    section: known.get("function"),
    imported: imports.functionTypes,
    index: checkCommand(exports),
  });
  const type = functionType(bytes, types, typeIndex);
  if (type !== "->") {
    throw badModule(`its _start has type (${type}), expected no parameters and no results`, {
      hint: "Link it with the C library's startup object (crt1-command.o)",
      details: { found: type },
    });
  }
  const patches: SectionEdits[] = [];
  for (const [name, { edits }] of [["table", tables], ["memory", memories]] as const) {
    const section = known.get(name);
    if (section !== undefined && edits.length > 0) patches.push({ section, edits });
  }
  return {
    bytes: patches.length === 0 ? bytes : patchSections(bytes, patches),
    memories: memories.list,
    tables: tables.list,
    imports: imports.list,
    exports,
    initialMemoryBytes: memories.list.reduce((sum, { initialBytes }) => sum + initialBytes, 0),
    usesGc: types.usesGc,
    usesExceptions: known.has("tag"),
    usesSharedMemory: memories.list.some(({ shared }) => shared),
  };
}

/** Copies shared bytes: V8 does not compile them, and another thread could change them after the checks. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? bytes as Uint8Array<ArrayBuffer>
    : new Uint8Array(bytes);
}

/** Type index of a function. Imported functions have the first indices (core specification 2.5.1). */
function typeIndexOf(
  bytes: Uint8Array,
  options: { section: Section | undefined; imported: readonly number[]; index: number },
): number {
  const imported = options.imported[options.index];
  if (imported !== undefined) return imported;
  const { start, end } = options.section ?? { start: 0, end: 0 };
  const reader = new ByteReader(bytes, "function section", { start, end });
  const count = options.section === undefined ? 0 : reader.count("functions");
  const wanted = options.index - options.imported.length;
  if (wanted >= count) {
    throw badModule(
      `it exports function ${options.index}, but has ${options.imported.length + count} functions`,
    );
  }
  for (let index = 0; index < wanted; index++) reader.u32();
  return reader.u32();
}

/** An export of an accepted module. */
export interface InspectedExport {
  name: string;
  kind: ExternalKind;
  /** Index in the index space of its kind. */
  index: number;
}

/**
 * Largest number of exports. V8 allows ten times as many, but creates an object per exported function at
 * instantiation: a million cost 1.7 s and 138 MB (V8 15.0), a hundred thousand 43 ms and 13 MB.
 */
const MAX_EXPORTS = 100_000;

/** Reads the export section of a module, if it has one. */
function readExports(bytes: Uint8Array, section: Section | undefined): InspectedExport[] {
  const list: InspectedExport[] = [];
  if (section === undefined) return list;
  const reader = new ByteReader(bytes, "export section", section);
  const count = reader.count("exports", 3);
  if (count > MAX_EXPORTS) reader.fail(`has ${count} exports (limit ${MAX_EXPORTS})`);
  const names = new Set<string>();
  for (let left = count; left > 0; left--) {
    const name = reader.name();
    const kind = readKind(reader);
    if (names.has(name)) reader.fail(`has a duplicate export ${quoteName(name)}`);
    names.add(name);
    list.push({ name, kind, index: reader.u32() });
  }
  reader.finish();
  return list;
}

/** Checks that the exports are those of a WASI command and returns the index of `_start`. */
function checkCommand(exports: readonly InspectedExport[]): number {
  const find = (name: string): InspectedExport | undefined =>
    exports.find((one) => one.name === name);
  const start = find("_start");
  const memory = find("memory");
  if (start === undefined && find("_initialize") !== undefined) {
    throw badModule("it is a reactor (exports _initialize but no _start), expected a command", {
      hint: "Build it without -mexec-model=reactor and with a main function",
    });
  }
  if (start === undefined && memory === undefined) {
    throw badModule("it exports neither _start nor memory", {
      hint: "Build a program with a main function for wasm32-wasip1",
    });
  }
  if (start === undefined) {
    throw badModule("it exports no _start function", {
      hint: "Build it as a command with a main function; a library cannot run",
    });
  }
  if (memory === undefined) {
    throw badModule("it exports no memory, which WASI calls require", {
      hint: 'Export its memory as "memory"',
    });
  }
  for (const [found, kind] of [[start, "function"], [memory, "memory"]] as const) {
    if (found.kind === kind) continue;
    throw badModule(`its export ${found.name} is a ${found.kind}, expected a ${kind}`);
  }
  return start.index;
}
