/**
 * Reads and writes files of the state directory: private files for secrets, and small JSON documents; flushes files to disk.
 *
 * @module
 */
import { toHex, writeAll } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";

/** Maximum size of a private file, in bytes; a key needs far less. */
const MAX_BYTES = 4096;

const OTHERS = 0o077;
const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/**
 * Reads a private file; `undefined` if it does not exist.
 *
 * @throws {PlasmError} `bad-identity` if it is a link, not a regular file, too large, not UTF-8,
 * accessible to group or others, or replaceable by any user
 * @throws {PlasmError} `state` if it cannot be read
 */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  try {
    const named = await Deno.lstat(path);
    if (named.isSymlink) {
      throw unsafe(path, "it is a symbolic link", "Replace the link by the file");
    }
    if (!named.isFile) throw unsafe(path, "it is not a regular file");
    using file = await Deno.open(path);
    const info = await file.stat();
    // The file may have been replaced between lstat and open.
    if (info.ino !== named.ino || info.dev !== named.dev) {
      throw unsafe(path, "it was replaced while it was opened");
    }
    if (((info.mode ?? 0) & OTHERS) !== 0) {
      const mode = ((info.mode ?? 0) & 0o777).toString(8).padStart(4, "0");
      throw unsafe(path, `its mode is ${mode}, allowed is 0600`, `Run chmod 600 ${path}`);
    }
    const folder = (await Deno.stat(parentOf(path))).mode ?? 0;
    if ((folder & WORLD_WRITABLE) !== 0 && (folder & STICKY) === 0) {
      throw unsafe(
        path,
        "its directory is writable by all users",
        `Run chmod 700 ${parentOf(path)}`,
      );
    }
    if (info.size > MAX_BYTES) {
      throw damaged(path, `it has ${info.size} bytes, at most ${MAX_BYTES} are allowed`);
    }
    return await readText(file, path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error instanceof PlasmError ? error : stateError("read", path, error);
  }
}

/**
 * Creates a private file unless it exists. It is linked to its name when it is complete and synced, so neither a
 * crash nor a concurrent writer can leave a partial file.
 *
 * @throws {PlasmError} `state` if it cannot be written
 */
export async function writePrivateFile(path: string, text: string): Promise<void> {
  const suffix = toHex(crypto.getRandomValues(new Uint8Array(8)));
  const temporary = `${path}.${suffix}.tmp`;
  try {
    await Deno.mkdir(parentOf(path), { recursive: true, mode: 0o700 });
    try {
      await writeNew(temporary, text);
      await Deno.link(temporary, path);
    } catch (error) {
      // Another process created it first.
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    } finally {
      await removeIfThere(temporary);
    }
    // Without this a power failure may lose the directory entry.
    await syncFile(parentOf(path));
  } catch (error) {
    throw stateError("write", path, error);
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  await writeAll(file, new TextEncoder().encode(text));
  await file.sync();
}

async function readText(file: Deno.FsFile, path: string): Promise<string> {
  const bytes = new Uint8Array(MAX_BYTES);
  let length = 0;
  for (;;) {
    const count = await file.read(bytes.subarray(length));
    if (count === null || count === 0) break;
    length += count;
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length));
  } catch {
    throw damaged(path, "it is not text");
  }
}

async function removeIfThere(path: string): Promise<void> {
  try {
    await Deno.remove(path);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/")) || "/";
}

/** A state that a power failure can cause; `details.damaged` distinguishes it from the others. */
function damaged(path: string, why: string): PlasmError {
  return new PlasmError("bad-identity", `Cannot use ${path}: ${why}`, {
    hint: "Restore it from a copy, or move it away to become a new node with a new peer id",
    details: { damaged: true },
  });
}

function unsafe(path: string, why: string, hint?: string): PlasmError {
  return new PlasmError("bad-identity", `Cannot use ${path}: ${why}`, {
    hint: hint ?? "Restore it from a copy, or move it away to become a new node with a new peer id",
  });
}

function stateError(verb: string, path: string, cause: unknown): PlasmError {
  const why = cause instanceof Error ? cause.message : String(cause);
  return new PlasmError("state", `Cannot ${verb} ${path}: ${why}`, {
    hint: "Set PLASM_STATE_DIR to a directory that this user can write to",
    cause,
  });
}

/** Maximum size of a JSON document, in bytes; a larger file is not ours. */
const MAX_JSON_BYTES = 4 * 1024 * 1024;

/**
 * Replaces a file atomically, with mode 0600.
 *
 * @throws {Deno.errors.NotFound} if the directory does not exist; other errors of the file system
 */
export async function writeStateFile(path: string, value: unknown): Promise<void> {
  const temporary = `${path}.${crypto.randomUUID()}.tmp`;
  try {
    await Deno.writeTextFile(temporary, JSON.stringify(value), { createNew: true, mode: 0o600 });
    await Deno.rename(temporary, path);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error;
  }
}

/**
 * Reads a JSON document; undefined if the file does not exist.
 *
 * @throws {Error} if it cannot be read, is too large or is not JSON
 */
export async function readStateFile(path: string): Promise<unknown> {
  try {
    const { isFile, size } = await Deno.stat(path);
    // A named pipe would block until its other end is opened.
    if (!isFile) throw new TypeError(`${path} is not a regular file`);
    if (size > MAX_JSON_BYTES) {
      throw new RangeError(`${path} has ${size} bytes, at most ${MAX_JSON_BYTES}`);
    }
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * Flushes a file's content or a directory's entries to the disk (fsync).
 *
 * @throws {Deno.errors.NotFound} If the path does not exist, or another error of the file system.
 */
export async function syncFile(path: string, options: Deno.OpenOptions = {}): Promise<void> {
  const file = await Deno.open(path, { read: true, ...options });
  // Not `using`: the compiled program drops it, see scripts/compile/using_test.ts.
  try {
    await file.sync();
  } finally {
    file.close();
  }
}
