/**
 * Files of the state directory: private files for secrets, and small JSON documents.
 *
 * @module
 */
import { syncFile, toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/errors.ts";

/** Far more than a key needs; keeps a wrong file from being read whole. */
const MAX_BYTES = 4096;

const OTHERS = 0o077;
const WORLD_WRITABLE = 0o002;
const STICKY = 0o1000;

/**
 * Reads a private file; `undefined` when there is none.
 *
 * @throws {PlasmError} `bad-identity` when it is a link, no regular file, too large, not UTF-8 or
 * accessible to group or others, or anyone may replace it
 * @throws {PlasmError} `state` when it cannot be read
 */
export async function readPrivateFile(path: string): Promise<string | undefined> {
  try {
    const named = await Deno.lstat(path);
    if (named.isSymlink) throw unsafe(path, "it is a symbolic link", "Put the file itself there");
    if (!named.isFile) throw unsafe(path, "it is no regular file");
    using file = await Deno.open(path);
    const info = await file.stat();
    // Between the two calls the name may have come to mean another file.
    if (info.ino !== named.ino || info.dev !== named.dev) {
      throw unsafe(path, "it was replaced while it was opened");
    }
    if (((info.mode ?? 0) & OTHERS) !== 0) {
      const mode = ((info.mode ?? 0) & 0o777).toString(8).padStart(4, "0");
      throw unsafe(path, `its mode is ${mode}, allowed is 0600`, `Run chmod 600 ${path}`);
    }
    const folder = (await Deno.stat(parentOf(path))).mode ?? 0;
    if ((folder & WORLD_WRITABLE) !== 0 && (folder & STICKY) === 0) {
      throw unsafe(path, "anyone may write to its directory", `Run chmod 700 ${parentOf(path)}`);
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
 * Creates a private file where there is none yet; leaves an existing one alone. The file appears
 * under its name only once it is complete and on disk, so neither a crash nor a second writer at the same
 * time can leave or show half of one.
 *
 * @throws {PlasmError} `state` when it cannot be written
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
      // Another starter was first.
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    } finally {
      await removeIfThere(temporary);
    }
    // Without this a power cut may take the name back.
    await syncFile(parentOf(path));
  } catch (error) {
    throw stateError("write", path, error);
  }
}

async function writeNew(path: string, text: string): Promise<void> {
  using file = await Deno.open(path, { write: true, createNew: true, mode: 0o600 });
  const bytes = new TextEncoder().encode(text);
  for (let offset = 0; offset < bytes.length;) offset += await file.write(bytes.subarray(offset));
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

/** What a crash of the machine can leave, unlike the rest: `details.damaged` says so. */
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

/** Beyond this a file is not ours, whatever its name. */
const MAX_JSON_BYTES = 4 * 1024 * 1024;

/**
 * Replaces a file's content at once, mode 0600.
 *
 * @throws {Deno.errors.NotFound} and what else the file system says
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
 * Reads what was written; undefined where there is no such file.
 *
 * @throws {Error} where it cannot be read, is too large or is not JSON
 */
export async function readStateFile(path: string): Promise<unknown> {
  try {
    const { size } = await Deno.stat(path);
    if (size > MAX_JSON_BYTES) {
      throw new RangeError(`${path} has ${size} bytes, at most ${MAX_JSON_BYTES}`);
    }
    return JSON.parse(await Deno.readTextFile(path));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}
