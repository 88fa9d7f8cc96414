/**
 * Moves verified output files from their staging directory to their names on this machine.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import { fileErrorReason } from "../host_files.ts";
import type { OutputTarget } from "./output_target.ts";

/** Most bytes of a name and of a path on Linux file systems. */
const MAX_NAME_BYTES = 255;
const MAX_PATH_BYTES = 4095;

/** Name of the tree in the staging directory. */
const TREE = "tree";

const encoder = new TextEncoder();

/** A file in memory or in the staging directory, or an empty directory, which is in neither. */
export interface StagedFile {
  /** Guest path; that of an empty directory ends in a slash. */
  path: string;
  /** Path in the staging directory, if there is no content. */
  source: string;
  /** Content of a file in memory. */
  content: Uint8Array | undefined;
}

/** Options of {@linkcode moveFiles}. */
export interface MoveFilesOptions {
  /** Where the files belong. */
  target: OutputTarget;
  /** Staging directory. */
  dir: string;
  /** Inputs by guest path: a shared directory's files that the job may replace. */
  inputs: Readonly<Record<string, string>>;
}

/**
 * Gives files their names in the staging directory and checks the places that they are moved to. Nothing outside the
 * staging directory is written before the returned function is called.
 *
 * @throws {PlasmError} `bad-input` if a name cannot be used on this file system, `conflict` if a place is taken
 */
export function moveFiles(
  files: readonly StagedFile[],
  { target, dir, inputs }: MoveFilesOptions,
): () => void {
  const { guest, host, force } = target;
  if (!guest.endsWith("/")) {
    const [file] = files;
    if (file === undefined) return () => {};
    checkFree(host, { guest, mayReplace: force, mayReplaceLink: force });
    const { content } = file;
    const source = content === undefined ? file.source : `${dir}/file`;
    if (content !== undefined) orWriteError(guest, () => writeNew(source, content));
    return () => orWriteError(host, () => Deno.renameSync(source, host));
  }
  const tree = `${dir}/${TREE}`;
  orWriteError(host, () => Deno.mkdirSync(tree));
  const placed = files.map((file) => placeInTree(file, { tree, target }));
  const isNew = !exists(host);
  if (isNew) return () => orWriteError(host, () => Deno.renameSync(tree, host));
  const directories = new Map<string, boolean>([["", true]]);
  for (const { path, name } of placed) {
    checkParents(name, { target, directories });
    const mayReplace = force || (target.isShared && Object.hasOwn(inputs, path));
    if (name.endsWith("/")) continue;
    checkFree(`${host}/${name}`, { guest: path, mayReplace });
  }
  return () => {
    const made = new Set<string>();
    for (const { name } of placed) {
      const slash = name.lastIndexOf("/");
      const parent = name.slice(0, Math.max(slash, 0));
      if (!made.has(parent)) {
        made.add(parent);
        orWriteError(name, () => Deno.mkdirSync(`${host}/${parent}`, { recursive: true }));
      }
      if (name === "" || name.endsWith("/")) continue;
      orWriteError(name, () => Deno.renameSync(`${tree}/${name}`, `${host}/${name}`));
    }
  };
}

/** Name of a file below its target. */
function nameIn({ guest, all }: OutputTarget, path: string): string {
  if (path === "./" || path === "/") return "";
  if (all !== undefined) return path.replace(/^\//, "");
  return guest === "./" ? path : path.slice(guest.length);
}

/** A file with its name below the target. */
interface PlacedFile {
  path: string;
  /** Relative path; that of an empty directory ends in a slash, and is empty for the target itself. */
  name: string;
}

/** Puts a file under its name in the tree, which shows whether the file system can hold the name. */
function placeInTree(
  { path, source, content }: StagedFile,
  { tree, target }: { tree: string; target: OutputTarget },
): PlacedFile {
  const name = nameIn(target, path);
  const refuse = (why: string): never => {
    throw new PlasmError("bad-input", `Cannot write output ${escapeText(path)}: ${why}`, {
      hint: "Write to another file system, or rename the file in the job",
      details: { path },
    });
  };
  const bytes = encoder.encode(`${target.host}/${name}`).length;
  if (bytes > MAX_PATH_BYTES) refuse(`its path here has ${bytes} bytes, limit ${MAX_PATH_BYTES}`);
  for (const part of name.split("/")) {
    const length = encoder.encode(part).length;
    if (length > MAX_NAME_BYTES) refuse(`a name has ${length} bytes, limit ${MAX_NAME_BYTES}`);
  }
  const place = `${tree}/${name}`;
  try {
    if (name === "" || name.endsWith("/")) {
      Deno.mkdirSync(place, { recursive: true });
      return { path, name };
    }
    const put = (): void => {
      if (content !== undefined) return writeNew(place, content);
      // A rename would replace another output.
      if (exists(place)) throw new Deno.errors.AlreadyExists();
      Deno.renameSync(source, place);
    };
    try {
      put();
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
      Deno.mkdirSync(place.slice(0, place.lastIndexOf("/")), { recursive: true });
      put();
    }
  } catch (error) {
    if (isFault(error)) throw writeError(path, error);
    // Two names that differ in case, on a file system that does not tell them apart.
    if (error instanceof Deno.errors.AlreadyExists) {
      refuse("the file system does not distinguish it from another output");
    }
    refuse(`the file system refuses its name: ${fileErrorReason(error)}`);
  }
  return { path, name };
}

/** Checks that each directory above a name is one, and not a link. */
function checkParents(
  name: string,
  { target, directories }: { target: OutputTarget; directories: Map<string, boolean> },
): void {
  for (let end = name.indexOf("/"); end >= 0; end = name.indexOf("/", end + 1)) {
    const parent = name.slice(0, end);
    const known = directories.get(parent);
    if (known === true) continue;
    const info = lstat(`${target.host}/${parent}`);
    directories.set(parent, true);
    if (info !== undefined && !info.isDirectory) {
      throw taken(
        `${target.host}/${parent}`,
        info.isSymlink ? "a symbolic link is in the way" : "a file is in the way of a directory",
      );
    }
  }
}

/** Options of {@linkcode checkFree}. */
interface FreeOptions {
  /** Guest path of the file. */
  guest: string;
  /** Whether an existing file may be replaced. */
  mayReplace: boolean;
  /** Whether a link may be replaced, which the user has named. @default {false} */
  mayReplaceLink?: boolean;
}

/** Checks that a file can have a name. */
function checkFree(
  host: string,
  { guest, mayReplace, mayReplaceLink = false }: FreeOptions,
): void {
  const info = lstat(host);
  if (info === undefined) return;
  if (info.isDirectory) throw taken(host, `a directory is in the way of ${escapeText(guest)}`);
  if (info.isSymlink) {
    if (mayReplaceLink) return;
    throw taken(host, "a symbolic link is in the way");
  }
  if (!info.isFile) throw taken(host, "a device or a pipe is in the way");
  if (!mayReplace) throw taken(host, "the file exists", "Add --force to replace it");
}

function lstat(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

function exists(path: string): boolean {
  return lstat(path) !== undefined;
}

function taken(host: string, why: string, hint?: string): PlasmError {
  return new PlasmError(
    "conflict",
    `Cannot write output: ${why}: ${escapeText(host)}`,
    hint === undefined ? {} : { hint },
  );
}

/** Creates a file. */
function writeNew(path: string, content: Uint8Array): void {
  Deno.writeFileSync(path, content, { createNew: true });
}

/** Writes a whole buffer. */
export function writeAllSync(file: Deno.FsFile, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length;) at += file.writeSync(bytes.subarray(at));
}

/** Codes of errors of a full disk. */
const FULL: readonly unknown[] = ["ENOSPC", "EDQUOT"];

/** Codes of other errors that do not depend on the name. */
const FAULTS: readonly unknown[] = ["EIO", "EROFS", "EFBIG", "EMFILE", "ENFILE"];

function codeOf(error: unknown): unknown {
  return (error as { code?: unknown } | undefined)?.code;
}

function isFull(error: unknown): boolean {
  return FULL.includes(codeOf(error));
}

function isFault(error: unknown): boolean {
  return error instanceof PlasmError || isFull(error) || FAULTS.includes(codeOf(error));
}

/** The error of an output that cannot be written. */
export function writeError(name: string, cause: unknown): PlasmError {
  if (cause instanceof PlasmError) return cause;
  return new PlasmError(
    "state",
    `Cannot write output: ${fileErrorReason(cause)}: ${escapeText(name)}`,
    isFull(cause) ? { hint: "Free space on the disk and run the job again", cause } : { cause },
  );
}

/** Throws the error of an output that cannot be written. @throws {PlasmError} `state` */
export function orWriteError(name: string, write: () => void): void {
  try {
    write();
  } catch (cause) {
    throw writeError(name, cause);
  }
}
