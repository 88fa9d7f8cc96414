/**
 * Creates a job's input files and directories in its file system.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { FileContent } from "./file_content.ts";
import { type FileSystem, INITIAL_TIME } from "./file_system.ts";
import { DirectoryInode, FileInode, type Timestamp } from "./inode.ts";
import { MAX_NAME_BYTES, MAX_PATH_BYTES, utf8Length } from "./path_lookup.ts";

/** A file or directory in the guest's tree when the job starts. */
export interface FileInput {
  /**
   * Guest path. A directory's path ends in "/", and the directory becomes a preopen of that name; "/" and "./" are
   * the root.
   */
  path: string;
  /** Content of a file; absent for a directory. */
  data?: Uint8Array | undefined;
  /**
   * Time of modification, access and status change, in milliseconds of Unix time.
   * @default {0}
   */
  mtimeMs?: number | undefined;
  /**
   * Whether a directory becomes a preopen.
   * @default {true}
   */
  isPreopen?: boolean | undefined;
}

/** A preopened directory. */
export interface Preopen {
  /** Path of the input without its trailing slash. */
  name: string;
  /** The directory. */
  directory: DirectoryInode;
}

/**
 * Creates all inputs and their parent directories. Files use the memory of their inputs, which must not be shared.
 * Times come from the inputs only, and inode numbers and the order of directory entries and preopens from the paths,
 * so that they do not depend on when, where and by whom the job is run.
 *
 * @returns The directories to preopen, in the order of their paths.
 * @throws {PlasmError} `bad-input` for an invalid path, `over-limit` if the inputs exceed the limits.
 */
export function createInputs(fs: FileSystem, inputs: readonly FileInput[]): Preopen[] {
  const preopens: Preopen[] = [];
  // Set at the end: each new entry changes the time of its directory.
  const times: InputTimes = new Map([[fs.root, INITIAL_TIME]]);
  // Sorted by UTF-16 code units, as RFC 8785 sorts the manifest's inputs.
  const sorted = inputs.toSorted((a, b) => a.path < b.path ? -1 : Number(a.path > b.path));
  for (const input of sorted) {
    const names = namesOf(input.path);
    if (!input.path.endsWith("/")) {
      createInputFile(fs, { input, names, times });
      continue;
    }
    if (input.data !== undefined) {
      throw invalidPath(input.path, "a directory cannot have content");
    }
    const directory = makeDirectories(fs, { path: input.path, names, times });
    times.set(directory, timeOf(input));
    // The root is preopened as "/" separately.
    if (input.path === "/" || input.isPreopen === false) continue;
    preopens.push({ name: input.path.slice(0, -1), directory });
  }
  for (const [inode, time] of times) inode.atim = inode.mtim = inode.ctim = time;
  return preopens;
}

/** Times of what the inputs created, and of the root. */
type InputTimes = Map<FileInode | DirectoryInode, Timestamp>;

const NS_PER_MS = 1_000_000n;

function timeOf({ mtimeMs = 0 }: FileInput): bigint {
  return BigInt(mtimeMs) * NS_PER_MS;
}

function createInputFile(
  fs: FileSystem,
  { input, names, times }: { input: FileInput; names: string[]; times: InputTimes },
): void {
  const { path, data = new Uint8Array(0) } = input;
  const name = names.pop();
  if (name === undefined) throw invalidPath(path, "a file must have a name");
  const parent = makeDirectories(fs, { path, names, times });
  if (parent.entry(name) !== undefined) throw invalidPath(path, "the path exists already");
  const file = fs.createFile({ parent, name });
  if (typeof file === "number") throw limitExceeded(fs, path);
  if (fs.resize(file, data.length) !== 0) throw limitExceeded(fs, path);
  file.content = FileContent.from(data);
  times.set(file, timeOf(input));
}

function makeDirectories(
  fs: FileSystem,
  { path, names, times }: { path: string; names: readonly string[]; times: InputTimes },
): DirectoryInode {
  let directory = fs.root;
  for (const name of names) {
    const present = directory.entry(name);
    if (present instanceof DirectoryInode) {
      directory = present;
      continue;
    }
    if (present instanceof FileInode) throw invalidPath(path, `"${name}" is a file`);
    const made = fs.createDirectory({ parent: directory, name });
    if (typeof made === "number") throw limitExceeded(fs, path);
    times.set(made, INITIAL_TIME);
    directory = made;
  }
  return directory;
}

/** Splits a path into names and checks it. */
function namesOf(path: string): string[] {
  if (path.includes("\0")) throw invalidPath(path, "it contains a NUL character");
  if (!path.isWellFormed()) throw invalidPath(path, "it is not well-formed Unicode");
  if (utf8Length(path) > MAX_PATH_BYTES) {
    throw invalidPath(path, `it has ${utf8Length(path)} bytes, limit ${MAX_PATH_BYTES}`);
  }
  if (path === "./") return [];
  const inner = path.replace(/^\//, "").replace(/\/$/, "");
  if (inner === "") {
    if (path === "/") return [];
    throw invalidPath(path, "it is empty");
  }
  const names = inner.split("/");
  for (const name of names) {
    if (name === "" || name === "." || name === "..") {
      throw invalidPath(path, `"${name}" is not allowed as a name`);
    }
    if (utf8Length(name) > MAX_NAME_BYTES) {
      throw invalidPath(path, `a name has ${utf8Length(name)} bytes, limit ${MAX_NAME_BYTES}`);
    }
  }
  return names;
}

/** Most characters of a path that an error message shows. */
const MAX_SHOWN_CHARACTERS = 80;

function invalidPath(path: string, reason: string): PlasmError {
  const shown = path.length > MAX_SHOWN_CHARACTERS
    ? `${path.slice(0, MAX_SHOWN_CHARACTERS)}…`
    : path;
  return new PlasmError("bad-input", `Cannot create input ${JSON.stringify(shown)}: ${reason}`);
}

function limitExceeded(fs: FileSystem, path: string): PlasmError {
  return new PlasmError(
    "over-limit",
    `Cannot create input ${
      JSON.stringify(path)
    }: ${fs.bytes} bytes and ${fs.inodes} inodes are in use, ` +
      `limit ${fs.limits.fsBytes} bytes and ${fs.limits.fsInodes} inodes`,
    { details: { fs_bytes: fs.limits.fsBytes, fs_inodes: fs.limits.fsInodes } },
  );
}
