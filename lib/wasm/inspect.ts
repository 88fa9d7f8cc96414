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
import {
  describeFunctions,
  type ExportedFunction,
  findInvocation,
  hintForFunctions,
  type Invocation,
  type InvocationRequest,
} from "./invocation/mod.ts";
import {
  type ExternalKind,
  type InspectedImport,
  readImportList,
  readImports,
  readKind,
} from "./import_section.ts";
import { badModule, ByteReader, quoteName } from "./reader.ts";
import { readSections, type Section, type Sections } from "./sections.ts";
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
  /**
   * Whether to refuse shared memories, as the deterministic profile does.
   * @default {false}
   */
  refusesShared?: boolean | undefined;
  /**
   * A function to call instead of the command.
   * @default {the command}
   */
  invoke?: InvocationRequest | undefined;
}

/** A module that may be compiled. */
export interface InspectedModule {
  /** The module with lowered maxima; the input bytes if nothing had to change. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Linear memories. */
  memories: InspectedMemory[];
  /** Tables. */
  tables: InspectedTable[];
  /** Imports, in module order. */
  imports: InspectedImport[];
  /** Exports, in module order. */
  exports: InspectedExport[];
  /** The function to call, if one was asked for. */
  invocation: Invocation | undefined;
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
 * @throws {PlasmError} `bad-module` if it is not a WASI preview1 command, `over-limit` above `moduleBytes` or if its
 * tables start above `tableEntries`, `job-memory` if its memories start above `memoryBytes`.
 */
export function inspectModule(module: Uint8Array, limits: InspectLimits): InspectedModule {
  checkModuleSize(module, limits);
  const bytes = unshared(module);
  checkHeader(bytes);
  const { known, linkerSections } = readSections(bytes);
  const types = readTypes(bytes, known.get("type"));
  const imports = readImports(bytes, { section: known.get("import"), types, linkerSections });
  const sizes = readSizes(bytes, known, limits);
  const { tables, memories } = sizes;
  const shared = limits.refusesShared === true
    ? memories.list.findIndex((memory) => memory.shared)
    : -1;
  if (shared >= 0) {
    throw badModule(`the deterministic profile refuses shared memory, memory ${shared} is shared`, {
      hint: "Build it without threads, or run it in the default profile",
      details: { memory: shared },
    });
  }
  const exports = readExports(bytes, known.get("export"));
  const indices = [...imports.functionTypes, ...readFunctions(bytes, known.get("function"))];
  const typeOf = (index: number): string => functionType(bytes, types, indices[index] ?? -1);
  const functions = (): ExportedFunction[] => exportedFunctions(exports, typeOf);
  const { invoke } = limits;
  const invocation = invoke === undefined ? undefined : findInvocation(functions(), invoke);
  if (invocation === undefined) {
    const index = checkCommand(exports, functions);
    if (index >= indices.length) {
      throw badModule(`it exports function ${index}, but has ${indices.length} functions`);
    }
    const type = typeOf(index);
    if (type !== "->") {
      throw badModule(`its _start has type (${type}), expected no parameters and no results`, {
        hint: "Link it with the C library's startup object (crt1-command.o)",
        details: { found: type },
      });
    }
  }
  if (invocation === undefined || imports.list.length > 0) checkMemory(exports);
  return {
    bytes: applySizes(bytes, known, sizes),
    memories: memories.list,
    tables: tables.list,
    imports: imports.list,
    exports,
    invocation,
    initialMemoryBytes: memories.list.reduce((sum, { initialBytes }) => sum + initialBytes, 0),
    usesGc: types.usesGc,
    usesExceptions: known.has("tag"),
    usesSharedMemory: memories.list.some(({ shared }) => shared),
  };
}

/** Refuses a file that is larger than the limit. */
export function checkModuleSize(module: Uint8Array, { moduleBytes }: InspectLimits): void {
  if (module.length <= moduleBytes) return;
  throw new PlasmError(
    "over-limit",
    `Cannot run module: it has ${module.length} bytes, limit ${moduleBytes}`,
    {
      hint: "Strip the module's debug information, or raise jobs.ceilings.module_bytes",
      details: { asked: module.length, allowed: moduleBytes },
    },
  );
}

/** A core module of a component, before its limits are lowered. */
export interface CoreModule {
  /** Imports, in module order. */
  imports: InspectedImport[];
  /** Exports, by name. */
  exports: ReadonlyMap<string, InspectedExport>;
  /** Linear memories that it defines. */
  memories: InspectedMemory[];
  /** Tables that it defines. */
  tables: InspectedTable[];
  /** Type of the imported function at a position among the imported functions. */
  importedType(position: number): string;
  /** Type of a function by its index. */
  functionType(index: number): string;
}

/**
 * Inspects a core module of a component, whose imports and exports the component's linker checks.
 *
 * @throws {PlasmError} as {@linkcode inspectModule}
 */
export function inspectCoreModule(bytes: Uint8Array, limits: InspectLimits): CoreModule {
  checkHeader(bytes);
  const { known } = readSections(bytes);
  const types = readTypes(bytes, known.get("type"));
  const imports = readImportList(bytes, known.get("import"));
  const { tables, memories } = readSizes(bytes, known, limits);
  if (memories.list.some((memory) => memory.shared)) {
    throw badModule("it is a component with a shared memory, which is not supported", {
      hint: "Build it without threads",
    });
  }
  const exports = readExports(bytes, known.get("export"));
  let indices: number[] | undefined;
  return {
    imports: imports.list,
    exports: new Map(exports.map((found) => [found.name, found])),
    memories: memories.list,
    tables: tables.list,
    importedType: (position) => functionType(bytes, types, imports.functionTypes[position]!),
    functionType: (index) => {
      indices ??= [...imports.functionTypes, ...readFunctions(bytes, known.get("function"))];
      return functionType(bytes, types, indices[index] ?? -1);
    },
  };
}

/** Reads the type indices of the functions that a module defines. */
function readFunctions(bytes: Uint8Array, section: Section | undefined): number[] {
  if (section === undefined) return [];
  const reader = new ByteReader(bytes, "function section", section);
  return Array.from({ length: reader.count("functions") }, () => reader.u32());
}

/** Lowers the maxima of an inspected core module, whose memories and tables share the limits. */
export function lowerMaxima(bytes: Uint8Array, limits: InspectLimits): Uint8Array {
  const { known } = readSections(bytes);
  return applySizes(bytes, known, readSizes(bytes, known, limits));
}

/** Tables and memories with the edits that lower their maxima. */
interface Sizes {
  tables: ReturnType<typeof readTables>;
  memories: ReturnType<typeof readMemories>;
}

function readSizes(
  bytes: Uint8Array,
  known: Sections["known"],
  { tableEntries = DEFAULT_TABLE_ENTRIES, memoryBytes }: InspectLimits,
): Sizes {
  return {
    tables: readTables(bytes, { section: known.get("table"), limit: tableEntries }),
    memories: readMemories(bytes, { section: known.get("memory"), limitBytes: memoryBytes }),
  };
}

function applySizes<Bytes extends Uint8Array>(
  bytes: Bytes,
  known: Sections["known"],
  sizes: Sizes,
): Bytes | Uint8Array<ArrayBuffer> {
  const patches: SectionEdits[] = [];
  for (const [name, { edits }] of [["table", sizes.tables], ["memory", sizes.memories]] as const) {
    const section = known.get(name);
    if (section !== undefined && edits.length > 0) patches.push({ section, edits });
  }
  return patches.length === 0 ? bytes : patchSections(bytes, patches);
}

/** Copies shared bytes: V8 does not compile them, and another thread could change them after the checks. */
export function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return bytes.buffer instanceof ArrayBuffer
    ? bytes as Uint8Array<ArrayBuffer>
    : new Uint8Array(bytes);
}

/** Most functions whose types are read for a message or a call. */
const MAX_TYPED_FUNCTIONS = 1000;

/** Exported functions that a call can name, with their types. */
function exportedFunctions(
  exports: readonly InspectedExport[],
  typeOf: (index: number) => string,
): ExportedFunction[] {
  const functions = exports.filter(({ kind, name }) =>
    kind === "function" && !/^(?:_start|_initialize)$/.test(name)
  );
  return functions.slice(0, MAX_TYPED_FUNCTIONS).map(({ name, index }) => {
    const text = typeOf(index);
    const [parameters, results] = text.split("->").map((list) => list.match(/\S+/g) ?? []);
    return { name, text, parameters: parameters!, results: results! };
  });
}

/** An export of an accepted module. */
export interface InspectedExport {
  /** Name of the export. */
  name: string;
  /** Kind of the export. */
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
function checkCommand(
  exports: readonly InspectedExport[],
  functions: () => ExportedFunction[],
): number {
  const find = (name: string): InspectedExport | undefined =>
    exports.find((one) => one.name === name);
  const start = find("_start");
  if (start === undefined) {
    const found = functions();
    const call = hintForFunctions(found);
    throw badModule(
      (find("_initialize") !== undefined
        ? "it is a reactor (exports _initialize but no _start), expected a command"
        : "it exports no _start function") + describeFunctions(found),
      {
        hint: call === undefined
          ? "Build it as a command with a main function; a library cannot run"
          : `${call}, or build it as a command with a main function`,
      },
    );
  }
  if (start.kind !== "function") {
    throw badModule(`its export _start is a ${start.kind}, expected a function`);
  }
  return start.index;
}

/** Checks that a module exports the memory that WASI calls access. */
function checkMemory(exports: readonly InspectedExport[]): void {
  const memory = exports.find(({ name }) => name === "memory");
  if (memory === undefined) {
    throw badModule("it exports no memory, which WASI calls require", {
      hint: 'Export its memory as "memory"',
    });
  }
  if (memory.kind !== "memory") {
    throw badModule(`its export memory is a ${memory.kind}, expected a memory`);
  }
}

const MAGIC = [0x00, 0x61, 0x73, 0x6d];
const HEADER_BYTES = 8;

/** Whether a file has the header of a component, of any version. */
export function isComponent(bytes: Uint8Array): boolean {
  return bytes.length >= HEADER_BYTES && MAGIC.every((byte, index) => bytes[index] === byte) &&
    bytes[6] === 1 && bytes[7] === 0;
}

/** A version of WASI that modules are built for. */
export type WasiVersion = "preview1" | "0.2";

/** Versions of WASI that this program runs. */
export const WASI_VERSIONS: readonly WasiVersion[] = ["preview1", "0.2"];

/** Version of WASI that a module or component needs. Its first eight bytes are enough. */
export function wasiVersionOf(bytes: Uint8Array): WasiVersion {
  return isComponent(bytes) ? "0.2" : "preview1";
}

/** Number of leading bytes inspected to detect the file type. */
const SNIFFED_BYTES = 512;

const SIGNATURES: readonly (readonly [bytes: string, what: string, hint?: string])[] = [
  ["\x7fELF", "an ELF executable"],
  ["MZ", "a Windows executable"],
  ["\xcf\xfa\xed\xfe", "a macOS executable"],
  ["\xca\xfe\xba\xbe", "a Java class or a macOS universal binary"],
  ["BC\xc0\xde", "LLVM bitcode", "Link it with wasm-ld first"],
  ["!<arch>\n", "a library archive", "Link it with wasm-ld first"],
  ["\x1f\x8b", "gzip data", "Decompress it first"],
  ["\x28\xb5\x2f\xfd", "zstd data", "Decompress it first"],
  ["\xfd7zXZ\0", "xz data", "Decompress it first"],
  ["BZh", "bzip2 data", "Decompress it first"],
  ["PK\x03\x04", "a zip archive", "Unpack it first"],
  ["%PDF", "a PDF document"],
  ["\x89PNG", "a PNG image"],
  ["#!", "a script", "Compile it to WebAssembly, or run its interpreter as the module"],
  ["version https://git-lfs", "a Git LFS pointer", "Fetch the file: git lfs pull"],
];

/** Detects the type of a file that is not WebAssembly. */
function detectFileType(bytes: Uint8Array): { what: string; hint?: string | undefined } {
  const head = Array.from(
    bytes.subarray(0, SNIFFED_BYTES),
    (byte) => String.fromCharCode(byte),
  ).join("");
  for (const [signature, what, hint] of SIGNATURES) {
    if (head.startsWith(signature)) return { what, hint };
  }
  const text = head.trimStart().toLowerCase();
  if (/^<(!doctype html|html|head|body)/.test(text)) {
    return { what: "an HTML page", hint: "The download may have returned an error page" };
  }
  if (/^(\(module|\(component|\(;|;;)/.test(text)) {
    return { what: "WebAssembly text", hint: "Assemble it first: wat2wasm" };
  }
  if (/^[{[]/.test(text)) return { what: "JSON text" };
  // deno-lint-ignore no-control-regex -- control characters distinguish binary data from text
  return { what: /[\x00-\x08\x0e-\x1f]/.test(head) ? "unknown binary data" : "text" };
}

/** Throws a `bad-module` error unless `bytes` starts with the header of a WebAssembly core module. */
export function checkHeader(bytes: Uint8Array): void {
  if (bytes.length === 0) throw badModule("the file is empty");
  if (!MAGIC.every((byte, index) => index >= bytes.length || bytes[index] === byte)) {
    const { what, hint } = detectFileType(bytes);
    throw badModule(`it is not WebAssembly, it looks like ${what}`, {
      hint: hint ?? "Pass a module or component of WASI: cargo build --target wasm32-wasip1",
      details: { looks_like: what },
    });
  }
  if (bytes.length < HEADER_BYTES) {
    throw badModule(`its header is truncated to ${bytes.length} of ${HEADER_BYTES} bytes`, {
      hint: "The file is truncated; build or download it again",
    });
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint16(4, true);
  const layer = view.getUint16(6, true);
  if (layer === 1) {
    throw badModule(`a WebAssembly component (version ${version}) is in place of a core module`);
  }
  if (version !== 1 || layer !== 0) {
    throw badModule(
      `unsupported WebAssembly version ${version} layer ${layer}, expected 1 layer 0`,
      {
        hint: "The file is damaged or newer than this runtime",
        details: { version, layer },
      },
    );
  }
}
