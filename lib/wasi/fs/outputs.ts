/**
 * Collects the output files of a job from its file tree as one tar archive, and finds what the job left behind.
 *
 * Symbolic links are neither followed nor returned: a directory can contain itself by links.
 *
 * @module
 */
import { encodeTarHeader, memberPadding, tarEnd, type TarMember } from "../../util/mod.ts";
import type { FileSystem } from "./file_system.ts";
import { utf8Length } from "./path_lookup.ts";
import { DirectoryInode, FileInode, type Inode, SymlinkInode } from "./inode.ts";

/** Most files and empty directories that a job returns: a receipt names each. */
export const MAX_OUTPUT_ENTRIES = 16_384;

/** Maximum size of the paths of all output files as JSON, in bytes: a receipt has at most 4 MiB. */
const MAX_PATHS_BYTES = 2 * 2 ** 20;

/** Longest path of an output file, in UTF-16 code units, as in the schemas. */
const MAX_OUTPUT_PATH = 1024;

/** Paths that no claim may name: the streams, and what changes the prototype of an object in a careless program. */
const RESERVED: ReadonlySet<string> = new Set(["__proto__", "stderr", "stdout"]);

/** Most entries of {@linkcode LeftBehind}. */
const MAX_LEFT_BEHIND = 32;

/** Maximum size of the paths in {@linkcode LeftBehind}, in UTF-16 code units: they are sent with the job's result. */
const MAX_LEFT_BEHIND_CHARS = 4096;

/** Size of the pieces in which content is written, in bytes. */
const PIECE_BYTES = 128 * 1024;

/** A name that the job created and no output covers. */
export interface LeftBehindEntry {
  /** Name in the root; that of a directory ends in a slash. A link in an output has its whole path. */
  path: string;
  /** Size of the files that the job created or changed, in bytes. */
  bytes: number;
  /** Kind of the entry. */
  kind: "file" | "directory" | "link";
}

/** What a job created and did not return. */
export interface LeftBehind {
  /** The first entries, in order of their creation. */
  entries: LeftBehindEntry[];
  /** Number of further entries. */
  more: number;
}

/** Options of {@linkcode collectOutputs}. */
export interface CollectOutputsOptions {
  /** Guest paths to return; that of a directory ends in a slash. */
  outputs: readonly string[];
  /** Maximum size of all files together, in bytes. */
  maxBytes: number;
  /** Writes a part of the archive, which may be overwritten afterwards. */
  write: (data: Uint8Array) => void;
}

/** Result of {@linkcode collectOutputs}. */
export interface CollectedOutputs {
  /** Why nothing was written although there are outputs, with figures. */
  problem?: string | undefined;
  /** Whether the file system was full. */
  wasFull: boolean;
  /** What the job created and did not return; undefined if nothing. */
  leftBehind: LeftBehind | undefined;
}

/** Writes the archive of a job's output files, sorted by path. Nothing is written if they exceed a limit. */
export function collectOutputs(
  fs: OutputTree,
  { write, ...options }: CollectOutputsOptions,
): CollectedOutputs {
  const { archive, ...found } = findOutputs(fs, options);
  for (const piece of archive) write(piece);
  return found;
}

/** The tree of a job. */
export type OutputTree = Pick<FileSystem, "root" | "isChanged" | "wasFull">;

/** Result of {@linkcode findOutputs}. */
export interface FoundOutputs extends CollectedOutputs {
  /** Pieces of the archive; each is overwritten when the next is requested. */
  archive: Iterable<Uint8Array>;
}

/** Finds the output files of a job and what it left behind. The archive is empty if the files exceed a limit. */
export function findOutputs(
  fs: OutputTree,
  { outputs, maxBytes }: Omit<CollectOutputsOptions, "write">,
): FoundOutputs {
  const left = new LeftBehindList();
  const { files, problem } = findFiles(fs, { outputs, maxBytes, left });
  findLeftBehind(fs, { outputs, left });
  const leftBehind = left.result.entries.length > 0 ? left.result : undefined;
  const { wasFull } = fs;
  if (problem !== undefined) return { problem, leftBehind, wasFull, archive: [] };
  return { leftBehind, wasFull, archive: outputs.length > 0 ? piecesOf(files) : [] };
}

/** A file, or an empty directory without an inode. */
interface OutputFile extends TarMember {
  inode: FileInode | undefined;
}

interface FindOptions extends Pick<CollectOutputsOptions, "outputs" | "maxBytes"> {
  left: LeftBehindList;
}

function findFiles(
  fs: OutputTree,
  { outputs, maxBytes, left }: FindOptions,
): { files: OutputFile[]; problem?: string } {
  const found = new Map<string, OutputFile>();
  let bytes = 0;
  let pathsBytes = 0;
  for (const output of outputs) {
    const start = inodeAt(fs, output);
    if (start === undefined || start instanceof DirectoryInode !== output.endsWith("/")) continue;
    // The root as working directory: its files have relative paths.
    const pending: { path: string; inode: Inode }[] = [{
      path: output === "./" ? "" : output,
      inode: start,
    }];
    for (let next; (next = pending.pop()) !== undefined;) {
      const { path, inode } = next;
      if (path.length > MAX_OUTPUT_PATH) {
        return {
          files: [],
          problem: `a path has more than ${MAX_OUTPUT_PATH} characters: ${shortened(path)}`,
        };
      }
      if (inode instanceof DirectoryInode && inode.count > 0) {
        for (let position = 0; position < inode.positions; position++) {
          const child = inode.inodeAt(position);
          if (child === undefined) continue;
          const name = inode.nameAt(position);
          const slash = child instanceof DirectoryInode ? "/" : "";
          pending.push({ path: `${path}${name}${slash}`, inode: child });
        }
      } else if (inode instanceof SymlinkInode) left.add({ path, bytes: 0, kind: "link" });
      else if (inode instanceof FileInode || inode instanceof DirectoryInode) {
        const name = path === "" ? "./" : path;
        if (found.has(name)) continue;
        if (RESERVED.has(name)) {
          return {
            files: [],
            problem: `${name} in ./ has a reserved name; the output / can return it`,
          };
        }
        const file = inode instanceof FileInode ? inode : undefined;
        const size = file?.content.size ?? 0;
        found.set(name, { path: name, bytes: size, inode: file });
        bytes += size;
        pathsBytes += utf8Length(JSON.stringify(name));
        if (pathsBytes > MAX_PATHS_BYTES) {
          return { files: [], problem: `paths of more than ${MAX_PATHS_BYTES} bytes` };
        }
        if (found.size > MAX_OUTPUT_ENTRIES) {
          return { files: [], problem: `more than ${MAX_OUTPUT_ENTRIES} files` };
        }
      }
    }
  }
  if (bytes > maxBytes) {
    return { files: [], problem: `${bytes} bytes in ${found.size} files, limit ${maxBytes} bytes` };
  }
  // The order of RFC 8785: by UTF-16 code units.
  return { files: [...found.values()].sort((a, b) => a.path < b.path ? -1 : 1) };
}

/** Yields the archive in large pieces, so that small files do not wake the reader one by one. */
function* piecesOf(files: readonly OutputFile[]): Generator<Uint8Array, void, void> {
  const piece = new Uint8Array(PIECE_BYTES);
  let fill = 0;
  const fits = (data: Uint8Array): boolean => {
    if (fill + data.length > piece.length) return false;
    piece.set(data, fill);
    fill += data.length;
    return true;
  };
  for (const { path, bytes, inode } of files) {
    const header = encodeTarHeader({ path, bytes });
    if (!fits(header)) {
      yield piece.subarray(0, fill);
      fill = 0;
      // A header can have a long path, but is smaller than a piece.
      fits(header);
    }
    for (let at = 0; at < bytes;) {
      if (fill === piece.length) {
        yield piece;
        fill = 0;
      }
      const count = inode!.content.read(at, piece, fill, piece.length - fill);
      fill += count;
      at += count;
    }
    const padding = memberPadding(bytes);
    if (!fits(padding)) {
      yield piece.subarray(0, fill);
      fill = 0;
      fits(padding);
    }
  }
  if (!fits(tarEnd())) {
    yield piece.subarray(0, fill);
    fill = 0;
    fits(tarEnd());
  }
  yield piece.subarray(0, fill);
}

/** Inode at an output path, without following links. */
function inodeAt(fs: OutputTree, path: string): Inode | undefined {
  let inode: Inode | undefined = fs.root;
  for (const name of namesOf(path)) {
    if (!(inode instanceof DirectoryInode)) return undefined;
    inode = inode.get(name);
  }
  return inode;
}

function namesOf(path: string): string[] {
  return path.split("/").filter((name) => name !== "" && name !== ".");
}

/** Names in the root with files that the job created or changed outside its outputs. */
function findLeftBehind(
  fs: OutputTree,
  { outputs, left }: Pick<FindOptions, "outputs" | "left">,
): void {
  if (fs.root.count === 0) return;
  const covered = new Set<Inode>();
  for (const output of outputs) {
    const inode = inodeAt(fs, output);
    // A directory that is named like a file is not returned.
    if (inode !== undefined && inode instanceof DirectoryInode === output.endsWith("/")) {
      covered.add(inode);
    }
  }
  if (covered.has(fs.root)) return;
  const { root } = fs;
  for (let position = 0; position < root.positions; position++) {
    const top = root.inodeAt(position);
    if (top === undefined) continue;
    let isChanged = false;
    let bytes = 0;
    const pending: Inode[] = [top];
    for (let inode; (inode = pending.pop()) !== undefined;) {
      if (covered.has(inode)) continue;
      isChanged ||= fs.isChanged(inode);
      if (inode instanceof FileInode && fs.isChanged(inode)) bytes += inode.content.size;
      if (!(inode instanceof DirectoryInode)) continue;
      for (let child = 0; child < inode.positions; child++) {
        const below = inode.inodeAt(child);
        if (below !== undefined) pending.push(below);
      }
    }
    if (!isChanged) continue;
    const kind = top instanceof DirectoryInode
      ? "directory"
      : top instanceof SymlinkInode
      ? "link"
      : "file";
    // A directory that contains nothing but outputs was created for them.
    if (kind === "directory" && bytes === 0) continue;
    left.add({ path: `${root.nameAt(position)}${kind === "directory" ? "/" : ""}`, bytes, kind });
  }
}

/** A list with a limited size. */
class LeftBehindList {
  readonly result: LeftBehind = { entries: [], more: 0 };
  #chars = 0;

  add(entry: LeftBehindEntry): void {
    const { entries } = this.result;
    this.#chars += entry.path.length;
    if (entries.length < MAX_LEFT_BEHIND && this.#chars <= MAX_LEFT_BEHIND_CHARS) {
      entries.push(entry);
    } else this.result.more++;
  }
}

function shortened(path: string): string {
  return JSON.stringify(`${path.slice(0, 80).toWellFormed()}…`);
}
