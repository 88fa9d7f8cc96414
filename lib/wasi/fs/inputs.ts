/**
 * Putting a job's inputs into its tree.
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

/** A directory that the guest finds open. */
export interface Preopen {
  /** Its name, as the input gave it less the slash at the end. */
  name: string;
  /** The directory. */
  directory: DirectoryInode;
}

/**
 * Creates all inputs, with the directories above them. Content is copied. Answers the directories
 * that become preopens, in the order given.
 *
 * @throws {PlasmError} `bad-input` for a path that cannot be, `over-limit` if the caps are too low.
 */
export function placeInputs(fs: FileSystem, inputs: readonly FileInput[]): Preopen[] {
  const preopens: Preopen[] = [];
  for (const input of inputs) {
    const names = namesOf(input.path);
    if (!input.path.endsWith("/")) {
      placeFile(fs, { input, names });
      continue;
    }
    if (input.data !== undefined) {
      throw bad(input.path, "a directory has no content");
    }
    const directory = makeDirectories(fs, { path: input.path, names });
    // The root is a preopen by itself.
    if (directory !== fs.root) preopens.push({ name: input.path.slice(0, -1), directory });
  }
  return preopens;
}

function placeFile(
  fs: FileSystem,
  { input, names }: { input: FileInput; names: string[] },
): void {
  const { path, data = new Uint8Array(0) } = input;
  const name = names.pop();
  if (name === undefined) throw bad(path, "a file needs a name");
  const parent = makeDirectories(fs, { path, names });
  if (parent.get(name) !== undefined) throw bad(path, "something is there already");
  const file = fs.createFile({ parent, name });
  if (typeof file === "number") throw full(fs, path);
  // Counts the size against the cap before the copy is made.
  if (fs.resize(file, data.length) !== 0) throw full(fs, path);
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
    if (present instanceof FileInode) throw bad(path, `"${name}" in it is a file`);
    const made = fs.createDirectory({ parent: directory, name });
    if (typeof made === "number") throw full(fs, path);
    directory = made;
  }
  return directory;
}

/** The names on a path, after checking it. */
function namesOf(path: string): string[] {
  if (path.includes("\0")) throw bad(path, "it has a NUL in it");
  if (!path.isWellFormed()) throw bad(path, "it is not Unicode text");
  if (utf8Length(path) > MAX_PATH_BYTES) {
    throw bad(path, `it has ${utf8Length(path)} bytes, allowed ${MAX_PATH_BYTES}`);
  }
  const inner = path.replace(/^\//, "").replace(/\/$/, "");
  if (inner === "") {
    if (path === "/") return [];
    throw bad(path, "it is empty");
  }
  const names = inner.split("/");
  for (const name of names) {
    if (name === "" || name === "." || name === "..") {
      throw bad(path, `"${name}" in it is not a name`);
    }
    if (utf8Length(name) > MAX_NAME_BYTES) {
      throw bad(path, `a name has ${utf8Length(name)} bytes, allowed ${MAX_NAME_BYTES}`);
    }
  }
  return names;
}

// Longest part of a path that an error repeats.
const SHOWN_CHARACTERS = 80;

function bad(path: string, why: string): PlasmError {
  const shown = path.length > SHOWN_CHARACTERS ? `${path.slice(0, SHOWN_CHARACTERS)}…` : path;
  return new PlasmError("bad-input", `Cannot place input ${JSON.stringify(shown)}: ${why}`);
}

function full(fs: FileSystem, path: string): PlasmError {
  return new PlasmError(
    "over-limit",
    `Cannot place input ${JSON.stringify(path)}: allowed ${fs.limits.fsBytes} bytes and ` +
      `${fs.limits.fsInodes} inodes, ${fs.bytes} bytes and ${fs.inodes} inodes are in use`,
    { details: { fs_bytes: fs.limits.fsBytes, fs_inodes: fs.limits.fsInodes } },
  );
}
