/**
 * Looks at a WebAssembly binary before it is compiled: refuses what is no WASI command that can be
 * run, and lowers the maxima of its memories and tables to what the job may use.
 *
 * Every step is linear in the module's size and allocates in proportion to what is there, never to
 * what a count says: a module of 26 MB takes 20 ms. Function bodies are left to V8, whose own limits
 * hold (a million functions, 7.6 MB and 50,000 locals each). No cap on their shape would help: what
 * compiling costs grows with locals times nesting (60 KB can take 6 GB in 14 s, 160 KB 12 GB in 75 s)
 * and with validated locals (800 KB can take 12 s), measured on V8 15.0's optimizing compiler, while
 * honest programs have either in plenty. The process around the job counts it against the job. A
 * million empty functions cost 0.4 s and 120 MB, ten million element entries 0.3 s and 12 MB, a
 * hundred thousand data segments 10 ms.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { badModule } from "./bad_module.ts";
import { ByteReader } from "./reader.ts";
import { checkCommand, type InspectedExport, readExports } from "./exports_section.ts";
import { type InspectedImport, readImports } from "./imports_section.ts";
import { type InspectedMemory, readMemories } from "./memory_section.ts";
import { patchSections, type SectionEdits } from "./patch.ts";
import { readSections, type Section } from "./sections.ts";
import { checkHeader } from "./sniff.ts";
import { type InspectedTable, readTables } from "./table_section.ts";
import { functionType, readTypes } from "./types_section.ts";

export type { InspectedExport, InspectedImport, InspectedMemory, InspectedTable };

/**
 * V8 15.0 keeps 24 bytes for an entry of a funcref table: a million are 24 MB beside the job's
 * memory. CPython 3.12 has 5,903 entries.
 */
export const DEFAULT_TABLE_ENTRIES = 1_000_000;

/** Ceilings that a module is held against. */
export interface InspectLimits {
  /** Size of the module, in bytes. */
  moduleBytes: number;
  /** Linear memories together, in bytes. */
  memoryBytes: number;
  /**
   * Entries of all tables together.
   * @default {DEFAULT_TABLE_ENTRIES}
   */
  tableEntries?: number | undefined;
}

/** A module that may be compiled. */
export interface InspectedModule {
  /** The module with lowered maxima; the bytes given where nothing had to change. */
  bytes: Uint8Array<ArrayBuffer>;
  memories: InspectedMemory[];
  tables: InspectedTable[];
  imports: InspectedImport[];
  exports: InspectedExport[];
  /** Linear memories together at start, in bytes. */
  initialMemoryBytes: number;
  /** Has struct or array types: it can fill the heap, which no memory maximum holds. */
  usesGc: boolean;
  /** Has exception tags: exceptions that hold each other fill the heap likewise. */
  usesExceptions: boolean;
  /** Has a shared memory: its `buffer` is a SharedArrayBuffer and `memory.atomic.wait32` blocks. */
  usesSharedMemory: boolean;
}

/**
 * Inspects a module and rewrites its limits.
 *
 * With one memory its maximum becomes the cap (or stays its own, where that is lower). With several,
 * each may grow by an equal share of what their initial sizes leave of the cap, so that all together
 * stay under it. Tables likewise.
 *
 * @throws {PlasmError} `bad-module` for what is no WASI preview1 command; `too-large` over
 * `moduleBytes`; `job-memory` where its memories begin above `memoryBytes`; `over-limit` where its
 * tables begin above `tableEntries`.
 */
export function inspectModule(
  module: Uint8Array,
  limits: InspectLimits,
): InspectedModule {
  if (module.length > limits.moduleBytes) {
    throw new PlasmError(
      "too-large",
      `Cannot run module: it has ${module.length} bytes, ${limits.moduleBytes} are allowed`,
      {
        hint: "Strip its debug information, or raise the node's module limit",
        details: { asked: module.length, allowed: limits.moduleBytes },
      },
    );
  }
  const bytes = unshared(module);
  checkHeader(bytes);
  const { known, telling } = readSections(bytes);
  const types = readTypes(bytes, known.get("type"));
  const imports = readImports(bytes, { section: known.get("import"), types, telling });
  const tables = readTables(bytes, {
    section: known.get("table"),
    cap: limits.tableEntries ?? DEFAULT_TABLE_ENTRIES,
  });
  const memories = readMemories(bytes, {
    section: known.get("memory"),
    capBytes: limits.memoryBytes,
  });
  const exports = readExports(bytes, known.get("export"));
  const entry = checkCommand(exports);
  const typeIndex = typeOfFunction(bytes, {
    section: known.get("function"),
    imported: imports.functionTypes,
    index: entry,
  });
  const type = functionType(bytes, types, typeIndex);
  if (type !== "->") {
    throw badModule(`its _start has type (${type}), a command's takes and gives nothing`, {
      hint: "Link it with the C library's start file (crt1-command.o)",
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

/** V8 compiles no shared bytes, and what another thread can change after the check is not checked. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? bytes as Uint8Array<ArrayBuffer>
    : new Uint8Array(bytes);
}

/** The type index of a function: those imported come first (core specification 2.5.1). */
function typeOfFunction(
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
    throw badModule(`it exports function ${options.index} of ${options.imported.length + count}`);
  }
  for (let index = 0; index < wanted; index++) reader.u32();
  return reader.u32();
}
