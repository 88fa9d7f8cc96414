/**
 * Creates a job's input files and directories in its file system.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { FileContent } from "./file_content.ts";
import type { FileSystem } from "./file_system.ts";
import { DirectoryInode, FileInode } from "./inode.ts";
import { MAX_NAME_BYTES, MAX_PATH_BYTES, utf8Length } from "./path_lookup.ts";

/** A file or directory in the guest's tree when the job starts. */
export interface FileInput {
  /** Guest path. A directory's path ends in "/", and the directory becomes a preopen of that name. */
  path: string;
  /** Content of a file; absent for a directory. */
  data?: Uint8Array | undefined;
}

/** A preopened directory. */
export interface Preopen {
  /** Path of the input without its trailing slash. */
  name: string;
  /** The directory. */
  directory: DirectoryInode;
}

/**
 * Creates all inputs and their parent directories; content is copied.
 *
 * @returns The directories to preopen, in input order.
 * @throws {PlasmError} `bad-input` for an invalid path, `over-limit` if the inputs exceed the limits.
 */
export function createInputs(fs: FileSystem, inputs: readonly FileInput[]): Preopen[] {
  const preopens: Preopen[] = [];
  for (const input of inputs) {
    const names = namesOf(input.path);
    if (!input.path.endsWith("/")) {
      createInputFile(fs, { input, names });
      continue;
    }
    if (input.data !== undefined) {
      throw invalidPath(input.path, "a directory cannot have content");
    }
    const directory = makeDirectories(fs, { path: input.path, names });
    // The root is preopened separately.
    if (directory !== fs.root) preopens.push({ name: input.path.slice(0, -1), directory });
  }
  return preopens;
}

function createInputFile(
  fs: FileSystem,
  { input, names }: { input: FileInput; names: string[] },
): void {
  const { path, data = new Uint8Array(0) } = input;
  const name = names.pop();
  if (name === undefined) throw invalidPath(path, "a file must have a name");
  const parent = makeDirectories(fs, { path, names });
  if (parent.get(name) !== undefined) throw invalidPath(path, "the path exists already");
  const file = fs.createFile({ parent, name });
  if (typeof file === "number") throw limitExceeded(fs, path);
  // Checks the size against the limit before copying.
  if (fs.resize(file, data.length) !== 0) throw limitExceeded(fs, path);
  file.content = FileContent.from(data);
}

function makeDirectories(
  fs: FileSystem,
  { path, names }: { path: string; names: readonly string[] },
): DirectoryInode {
  let directory = fs.root;
  for (const name of names) {
    const present = directory.get(name);
    if (present instanceof DirectoryInode) {
      directory = present;
      continue;
    }
    if (present instanceof FileInode) throw invalidPath(path, `"${name}" is a file`);
    const made = fs.createDirectory({ parent: directory, name });
    if (typeof made === "number") throw limitExceeded(fs, path);
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
