/**
 * Checks that a module imports only functions of WASI preview1, with the signatures that preview1 defines.
 *
 * Signatures are from WebAssembly/WASI legacy/preview1/witx/wasi_snapshot_preview1.witx, lowered as the witx
 * tooling does: handles, flags, sizes and pointers are i32; filesize, timestamp, device, inode, rights and
 * cookies are i64; an errno result is an i32.
 *
 * @module
 */
import type { PlasmError } from "../core/errors/mod.ts";
import { badModule, ByteReader, quoteName } from "./reader.ts";
import { type LimitsField, readLimits } from "./size_limits.ts";
import type { Section } from "./sections.ts";
import { functionType, readValueType, skipReferenceType, type TypesInfo } from "./type_section.ts";

/** Module name of preview1's imports. */
export const PREVIEW1 = "wasi_snapshot_preview1";

/** Signature of each preview1 function, as formatted by {@linkcode functionType}. */
export const PREVIEW1_TYPES: ReadonlyMap<string, string> = new Map(
  Object.entries({
    args_get: "i32 i32 -> i32",
    args_sizes_get: "i32 i32 -> i32",
    clock_res_get: "i32 i32 -> i32",
    clock_time_get: "i32 i64 i32 -> i32",
    environ_get: "i32 i32 -> i32",
    environ_sizes_get: "i32 i32 -> i32",
    fd_advise: "i32 i64 i64 i32 -> i32",
    fd_allocate: "i32 i64 i64 -> i32",
    fd_close: "i32 -> i32",
    fd_datasync: "i32 -> i32",
    fd_fdstat_get: "i32 i32 -> i32",
    fd_fdstat_set_flags: "i32 i32 -> i32",
    fd_fdstat_set_rights: "i32 i64 i64 -> i32",
    fd_filestat_get: "i32 i32 -> i32",
    fd_filestat_set_size: "i32 i64 -> i32",
    fd_filestat_set_times: "i32 i64 i64 i32 -> i32",
    fd_pread: "i32 i32 i32 i64 i32 -> i32",
    fd_prestat_dir_name: "i32 i32 i32 -> i32",
    fd_prestat_get: "i32 i32 -> i32",
    fd_pwrite: "i32 i32 i32 i64 i32 -> i32",
    fd_read: "i32 i32 i32 i32 -> i32",
    fd_readdir: "i32 i32 i32 i64 i32 -> i32",
    fd_renumber: "i32 i32 -> i32",
    fd_seek: "i32 i64 i32 i32 -> i32",
    fd_sync: "i32 -> i32",
    fd_tell: "i32 i32 -> i32",
    fd_write: "i32 i32 i32 i32 -> i32",
    path_create_directory: "i32 i32 i32 -> i32",
    path_filestat_get: "i32 i32 i32 i32 i32 -> i32",
    path_filestat_set_times: "i32 i32 i32 i32 i64 i64 i32 -> i32",
    path_link: "i32 i32 i32 i32 i32 i32 i32 -> i32",
    path_open: "i32 i32 i32 i32 i32 i64 i64 i32 i32 -> i32",
    path_readlink: "i32 i32 i32 i32 i32 i32 -> i32",
    path_remove_directory: "i32 i32 i32 -> i32",
    path_rename: "i32 i32 i32 i32 i32 i32 -> i32",
    path_symlink: "i32 i32 i32 i32 i32 -> i32",
    path_unlink_file: "i32 i32 i32 -> i32",
    poll_oneoff: "i32 i32 i32 i32 -> i32",
    proc_exit: "i32 ->",
    proc_raise: "i32 -> i32",
    random_get: "i32 i32 -> i32",
    sched_yield: "-> i32",
    sock_accept: "i32 i32 i32 -> i32",
    sock_recv: "i32 i32 i32 i32 i32 i32 -> i32",
    sock_send: "i32 i32 i32 i32 i32 -> i32",
    sock_shutdown: "i32 i32 -> i32",
  }),
);

/** Kinds of imports and exports, by their byte in the binary. */
const KINDS = ["function", "table", "memory", "global", "tag"] as const;

/** Kind of an import or export. */
export type ExternalKind = typeof KINDS[number];

/** An import of an accepted module. */
export interface InspectedImport {
  /** Module name. */
  module: string;
  /** Name in that module. */
  name: string;
  /** Kind of the import. */
  kind: ExternalKind;
}

/** Largest number of imports. Linkers write each import once: preview1 has 46, browser builds have some thousands. */
const MAX_IMPORTS = 10_000;

/** Number of unsupported imports that an error message lists. */
const LISTED_IMPORTS = 5;

/** Reads the kind byte of an import or export. */
export function readKind(reader: ByteReader): ExternalKind {
  const byte = reader.byte();
  return KINDS[byte] ?? reader.fail(`has an unknown import or export kind 0x${byte.toString(16)}`);
}

/** Contents of an import section. */
export interface ImportsInfo {
  /** All imports, in module order. */
  list: InspectedImport[];
  /** Type index of each imported function. */
  functionTypes: number[];
}

/** Imported items by kind, which have the first indices of their index spaces. */
export interface ImportedItems {
  /** Type index of each function. */
  functions: number[];
  /** Limits of each table. */
  tables: LimitsField[];
  /** Limits of each memory. */
  memories: LimitsField[];
  /** Number of globals. */
  globals: number;
  /** Type index of each tag. */
  tags: number[];
}

/** Reads the imports without their names. */
export function readImportedItems(bytes: Uint8Array, section: Section | undefined): ImportedItems {
  const items: ImportedItems = { functions: [], tables: [], memories: [], globals: 0, tags: [] };
  if (section === undefined) return items;
  const reader = new ByteReader(bytes, "import section", section);
  for (let left = reader.count("imports", 4); left > 0; left--) {
    reader.skip(reader.u32());
    reader.skip(reader.u32());
    const kind = readKind(reader);
    if (kind === "function") items.functions.push(reader.u32());
    else if (kind === "memory") items.memories.push(readLimits(reader));
    else if (kind === "table") {
      skipReferenceType(reader);
      items.tables.push(readLimits(reader));
    } else if (kind === "global") {
      readValueType(reader);
      reader.skip(1);
      items.globals++;
    } else {
      reader.skip(1);
      items.tags.push(reader.u32());
    }
  }
  return items;
}

/** Reads the import section without judging the imports. */
export function readImportList(bytes: Uint8Array, section: Section | undefined): ImportsInfo {
  const list: InspectedImport[] = [];
  const functionTypes: number[] = [];
  if (section === undefined) return { list, functionTypes };
  const reader = new ByteReader(bytes, "import section", section);
  const count = reader.count("imports", 4);
  if (count > MAX_IMPORTS) {
    reader.fail(`has ${count} imports (limit ${MAX_IMPORTS})`);
  }
  for (let left = count; left > 0; left--) {
    const found = { module: reader.name(), name: reader.name(), kind: readKind(reader) };
    if (found.kind === "function") functionTypes.push(reader.u32());
    else skipImportType(reader, found.kind);
    list.push(found);
  }
  reader.finish();
  return { list, functionTypes };
}

/** Reads the import section; throws `bad-module` for imports that preview1 does not define. */
export function readImports(
  bytes: Uint8Array,
  options: { section: Section | undefined; types: TypesInfo; linkerSections: ReadonlySet<string> },
): ImportsInfo {
  const { list, functionTypes } = readImportList(bytes, options.section);
  const unsupported = list.filter(({ module, name, kind }) =>
    kind !== "function" || module !== PREVIEW1 || !PREVIEW1_TYPES.has(name)
  );
  if (unsupported.length > 0) {
    const { linkerSections } = options;
    const isPreview1 = unsupported.length < list.length;
    throw unsupportedImports(unsupported, { linkerSections, isPreview1 });
  }
  list.forEach(({ name }, index) => {
    const wanted = PREVIEW1_TYPES.get(name);
    const type = functionType(bytes, options.types, functionTypes[index] ?? -1);
    if (type !== wanted) {
      throw badModule(`it imports ${name} as (${type}), preview1 defines (${wanted})`, {
        hint: "Build it against wasi-libc or other bindings generated from the preview1 witx",
        details: { name, found: type, wanted: wanted ?? null },
      });
    }
  });
  return { list, functionTypes };
}

/** Skips the type of an unsupported import, so that the error can list further ones. */
function skipImportType(reader: ByteReader, kind: Exclude<ExternalKind, "function">): void {
  if (kind === "memory") readLimits(reader);
  else if (kind === "table") {
    skipReferenceType(reader);
    readLimits(reader);
  } else if (kind === "global") {
    readValueType(reader);
    reader.skip(1);
  } else {
    reader.skip(1);
    reader.u32();
  }
}

/** What tells how a module was built. */
interface ImportsOrigin {
  /** Custom sections that mark an object file or a shared library. */
  linkerSections: ReadonlySet<string>;
  /** Whether it imports functions of preview1, too. */
  isPreview1: boolean;
}

function unsupportedImports(
  unsupported: readonly InspectedImport[],
  origin: ImportsOrigin,
): PlasmError {
  const named = unsupported.slice(0, LISTED_IMPORTS).map(({ module, name, kind }) =>
    `${kind} ${quoteName(module)}.${quoteName(name)}`
  );
  const rest = unsupported.length - named.length;
  return badModule(
    `it imports ${named.join(", ")}${rest > 0 ? ` and ${rest} more` : ""}, which WASI preview1 ` +
      "does not define",
    {
      hint: hintForImports(unsupported, origin),
      details: { count: unsupported.length, imports: named },
    },
  );
}

/** Hints by the first predicate that any unsupported import satisfies: which toolchain built it, and what to do. */
const HINTS: readonly (readonly [test: (found: InspectedImport) => boolean, hint: string])[] = [
  [
    ({ module, name }) => module === "wasi" || name === "thread-spawn",
    "It uses wasi-threads, jobs are single-threaded; build it without threads: " +
    "cargo build --target wasm32-wasip1",
  ],
  [
    ({ module, kind }) => module === "env" && kind === "memory",
    "It imports its memory (threads or --import-memory); build it to define and export its memory",
  ],
  [
    ({ module }) => module === "wasi_unstable",
    "It is built for WASI preview0; rebuild it with a current toolchain: " +
    "cargo build --target wasm32-wasip1",
  ],
  [
    ({ module }) => module.startsWith("wasi:"),
    "It is a core module of a component; pass the component: wasm-tools component new, or " +
    "cargo build --target wasm32-wasip2",
  ],
  [
    ({ module, name }) =>
      module === "env" && /^(emscripten|_emscripten|__syscall|invoke_|__cxa_|_abort_js)/.test(name),
    "It is built by Emscripten for JavaScript; build it with emcc -sSTANDALONE_WASM or wasi-sdk",
  ],
  [
    ({ module, name }) => module === "env" && name === "abort",
    "It is built by AssemblyScript for JavaScript; build with @assemblyscript/wasi-shim",
  ],
  [
    ({ module, name }) => module.length === 1 && name.length <= 2,
    "Its imports have short names, as Emscripten's optimiser gives them for JavaScript; build it with " +
    "emcc -sSTANDALONE_WASM or wasi-sdk",
  ],
  [
    ({ module }) => module.startsWith("wasix"),
    "It uses WASIX, which extends WASI with threads and sockets that no job has; build it with wasi-sdk",
  ],
  [
    ({ module }) => /^wasi[_-](?!snapshot)/.test(module),
    "It uses an extension of WASI that no job has; build it without",
  ],
  [
    ({ module }) => module === "wbg" || module.startsWith("__wbindgen"),
    "It is built by wasm-bindgen for a browser; build it with cargo build --target wasm32-wasip1",
  ],
  [
    ({ module }) => module === "go" || module === "gojs",
    "It is built by Go for a browser; build it with GOOS=wasip1 GOARCH=wasm go build",
  ],
  [
    ({ module }) => module === PREVIEW1,
    "It imports a function that preview1 never defined; build it against wasi-libc",
  ],
  [
    ({ module }) => module === "env",
    "It has undefined symbols; link them in, or use wasi-sdk instead of a browser toolchain",
  ],
];

/** Returns the hint for a module with unsupported imports. */
function hintForImports(
  unsupported: readonly InspectedImport[],
  { linkerSections, isPreview1 }: ImportsOrigin,
): string {
  if (linkerSections.has("linking")) {
    return "It is an unlinked object file; link it with wasm-ld";
  }
  if (linkerSections.has("dylink") || linkerSections.has("dylink.0")) {
    return "It is a shared library; link it into a command module";
  }
  for (const [test, hint] of HINTS) {
    if (unsupported.some(test)) return hint;
  }
  return isPreview1
    ? `Remove these imports; jobs may import functions of ${PREVIEW1} only`
    : `Build it for WASI: cargo build --target wasm32-wasip1; jobs may import functions of ${PREVIEW1} only`;
}
