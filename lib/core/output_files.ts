/**
 * Reads the archive of a job's output files, and measures each file for the claim.
 *
 * @module
 */
import { encodeTarHeader, memberPadding, type TarMemberPart, TarReader } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";
import { Hasher, loadNativeHash } from "./hash.ts";
import type { Measured } from "./types.gen.ts";

/** Most files and empty directories that a job returns. */
export const MAX_OUTPUT_FILES = 16_384;

/** Maximum size of headers and padding in an archive, in bytes: about 8 KiB for each file with the longest path. */
export const MAX_ARCHIVE_HEADERS_BYTES: number = MAX_OUTPUT_FILES * 8 * 1024;

/** Files from which on loading node:crypto is faster than hashing each with WebCrypto. */
const NATIVE_FROM = 200;

/** Output files by guest path, as in a claim; the path of an empty directory ends in a slash. */
export type OutputFiles = Record<string, Measured>;

/**
 * Reads the parts of the archive that `files` events carry. It accepts files below the declared outputs only, sorted by
 * path.
 *
 * @example
 * ```ts
 * import { streamJob } from "@plasm/plasm";
 * import { OutputFilesReader } from "@plasm/plasm/verify";
 * import { assertEquals } from "@std/assert";
 *
 * // hello.wasm writes no files, so that the directory of its outputs is empty.
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const reader = new OutputFilesReader(["./"]);
 * for await (const event of streamJob(module, { outputs: ["./"] })) {
 *   if (event.type !== "files") continue;
 *   for await (const { path, data } of reader.read(event.data)) assertEquals([path, data.length], ["./", 0]);
 * }
 * assertEquals(Object.keys(reader.files), ["./"]);
 * ```
 */
export class OutputFilesReader {
  readonly #tar = new TarReader();
  readonly #files = new Map<string, Measured>();
  readonly #declared: DeclaredPaths;
  #last = "";
  #hasher: Hasher | undefined;

  /** Creates a reader for a job; `outputs` are those of its manifest: other files are refused. */
  constructor(outputs: readonly string[]) {
    this.#declared = new DeclaredPaths(outputs);
  }

  /**
   * Reads a part of the archive and yields the parts of files in it, each with the file's path and whole size in bytes.
   * A file has at least one part; the data are views of the archive.
   *
   * @throws {PlasmError} `protocol` if the archive is malformed or has a file that was not declared
   */
  async *read(
    data: Uint8Array,
  ): AsyncGenerator<{ path: string; bytes: number; offset: number; data: Uint8Array }, void, void> {
    const parts = this.#tar.read(data);
    while (true) {
      let next: IteratorResult<TarMemberPart, void>;
      try {
        next = parts.next();
      } catch (error) {
        throw invalid(error instanceof Error ? error.message : String(error));
      }
      if (next.done) return;
      const { entry, offset, data } = next.value;
      if (offset === 0) this.#begin(entry.path);
      await this.#hasher!.update(data);
      if (offset + data.length === entry.bytes) {
        this.#files.set(entry.path, { hash: await this.#hasher!.digest(), bytes: entry.bytes });
        if (this.#files.size === NATIVE_FROM) await loadNativeHash();
      }
      yield { ...entry, offset, data };
    }
  }

  /** Reads a part of the archive for its hashes only. */
  async measure(data: Uint8Array): Promise<void> {
    for await (const _part of this.read(data));
  }

  /** All files, or none if the archive is incomplete, as it is after a job that was killed. */
  get files(): Record<string, Measured> {
    return this.#tar.isComplete ? Object.fromEntries(this.#files) : {};
  }

  /** Whether the archive has been read to its end. */
  get isComplete(): boolean {
    return this.#tar.isComplete;
  }

  #begin(path: string): void {
    if (path <= this.#last) throw invalid(`${JSON.stringify(path)} is not in order`);
    if (!this.#declared.has(path)) throw invalid(`${JSON.stringify(path)} was not declared`);
    if (this.#files.size >= MAX_OUTPUT_FILES) throw invalid(`more than ${MAX_OUTPUT_FILES} files`);
    this.#last = path;
    this.#hasher = new Hasher();
  }
}

/** Where a file's content is in the archive, in bytes. */
export interface ArchivedFile {
  /** Offset of the content. */
  offset: number;
  /** Size of the content. */
  bytes: number;
}

/** Finds a file in the archive of these files, which follows from them; `undefined` if it is not one of them. */
export function findInArchive(files: OutputFiles, path: string): ArchivedFile | undefined {
  if (!Object.hasOwn(files, path)) return undefined;
  let at = 0;
  for (const name of Object.keys(files).sort()) {
    const { bytes } = files[name]!;
    at += encodeTarHeader({ path: name, bytes }).length;
    if (name === path) return { offset: at, bytes };
    at += bytes + memberPadding(bytes).length;
  }
  return undefined;
}

/** Output files in memory. */
export class FilesInMemory {
  readonly #reader: OutputFilesReader;
  readonly #content = new Map<string, Uint8Array>();

  /** Creates an empty collection; `outputs` are those of the manifest. */
  constructor(outputs: readonly string[]) {
    this.#reader = new OutputFilesReader(outputs);
  }

  /**
   * Adds a part of the archive.
   *
   * @throws {PlasmError} `protocol`
   */
  async add(data: Uint8Array): Promise<void> {
    for await (const { path, bytes, offset, data: part } of this.#reader.read(data)) {
      if (offset === 0) this.#content.set(path, new Uint8Array(bytes));
      this.#content.get(path)!.set(part, offset);
    }
  }

  /** Hash and size of each file, as in a claim. */
  get files(): OutputFiles {
    return this.#reader.files;
  }

  /** Content by path; empty if the archive is incomplete. */
  get content(): Map<string, Uint8Array> {
    return this.#reader.isComplete ? this.#content : new Map();
  }
}

/** Paths of files and directories that a manifest names; those of directories end in a slash. */
export class DeclaredPaths {
  readonly #paths: ReadonlySet<string>;

  constructor(paths: readonly string[]) {
    this.#paths = new Set(paths);
  }

  /** Whether a path is declared or lies in a declared directory. */
  has(path: string): boolean {
    return this.#paths.has(path) || this.contains(path);
  }

  /** Whether a path lies in a declared directory. */
  contains(path: string): boolean {
    if (!isPlainPath(path)) return false;
    if (this.#paths.has("./") && !path.startsWith("/")) return true;
    for (let end = path.indexOf("/"); end >= 0; end = path.indexOf("/", end + 1)) {
      if (end + 1 < path.length && this.#paths.has(path.slice(0, end + 1))) return true;
    }
    return false;
  }
}

/** Whether no segment of a path is empty, "." or "..". */
function isPlainPath(path: string): boolean {
  if (path === "./" || path === "/") return false;
  return path.replace(/^\//, "").replace(/\/$/, "").split("/")
    .every((name) => name !== "" && name !== "." && name !== ".." && !name.includes("\0"));
}

/** Declared outputs of which a result has nothing. */
export function missingOutputs(outputs: readonly string[], files: OutputFiles): string[] {
  const paths = Object.keys(files);
  return outputs.filter((output) => {
    if (!output.endsWith("/")) return !Object.hasOwn(files, output);
    if (output === "./") return !paths.some((path) => !path.startsWith("/"));
    return !paths.some((path) => path.startsWith(output));
  });
}

function invalid(why: string): PlasmError {
  return new PlasmError("protocol", `Cannot use output files: ${why}`);
}
