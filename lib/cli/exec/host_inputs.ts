/**
 * Copies host files and directories into the inputs of a job.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { printable } from "../../util/mod.ts";
import { fileErrorReason, readCappedFile } from "../read_file.ts";

/** Options of {@linkcode readHostInputs}. */
export interface ReadInputsOptions {
  /** Bytes of all files together at most. */
  maxBytes: number;
}

/** As many files as a manifest can name. */
const MAX_FILES = 1024;

/** Directories that are looked into: links may let few of them be met very often. */
const MAX_DIRECTORIES = 4096;

/**
 * Reads `HOST[:GUEST]` specifications into guest path → bytes. A directory gives an entry of its own,
 * ending in "/", which becomes a preopen of that name, and one for each file below it.
 *
 * @throws {PlasmError} `bad-input` on what cannot be read, is no file or directory, or leads out.
 */
export async function readHostInputs(
  specs: readonly string[],
  options: ReadInputsOptions,
): Promise<Record<string, Uint8Array>> {
  // A Map, for a file may be called __proto__.
  const found = new Map<string, Uint8Array>();
  const budget = { ...options, bytes: options.maxBytes, files: MAX_FILES, directories: 0 };
  const add = (guest: string, data: Uint8Array) => {
    if (found.has(guest)) {
      throw new PlasmError(
        "bad-input",
        `Cannot give two files to job under one name: ${printable(guest)}`,
      );
    }
    if (budget.files-- === 0) {
      throw new PlasmError(
        "bad-input",
        `Cannot give so many files to job: allowed are ${MAX_FILES}`,
      );
    }
    found.set(guest, data);
  };
  for (const spec of specs) {
    const colon = spec.lastIndexOf(":");
    const host = colon < 0 ? spec : spec.slice(0, colon);
    const guest = colon < 0 ? baseName(host) : spec.slice(colon + 1);
    if (host === "" || guest === "" || guest === "/") {
      throw new PlasmError(
        "usage",
        `Cannot use --input ${printable(spec)}: it is not HOST[:GUEST]`,
      );
    }
    await copy(host, guest.replace(/\/+$/, ""), { budget, add });
  }
  return Object.fromEntries(found);
}

interface CopyContext {
  budget: { bytes: number; maxBytes: number; directories: number };
  add: (guest: string, data: Uint8Array) => void;
}

async function copy(host: string, guest: string, context: CopyContext): Promise<void> {
  const real = await orInputError(host, () => Deno.realPath(host));
  const info = await orInputError(host, () => Deno.stat(real));
  if (info.isDirectory) {
    context.add(`${guest}/`, new Uint8Array());
    await copyTree(real, guest, { ...context, within: [real] });
  } else await copyFile(real, guest, { ...context, info });
}

async function copyTree(
  host: string,
  guest: string,
  context: CopyContext & { within: readonly string[] },
): Promise<void> {
  const { budget, within } = context;
  if (++budget.directories > MAX_DIRECTORIES) {
    throw new PlasmError(
      "bad-input",
      `Cannot give so many directories to job: allowed are ${MAX_DIRECTORIES}`,
    );
  }
  const entries = await orInputError(host, () => Array.fromAsync(Deno.readDir(host)));
  // In one order whatever the file system's is: the manifest and so its hash must not depend on it.
  entries.sort((a, b) => a.name < b.name ? -1 : 1);
  for (const { name } of entries) {
    const path = `${host}/${name}`;
    const real = await orInputError(path, () => Deno.realPath(path));
    if (real !== path && !real.startsWith(`${within[0]}/`) && real !== within[0]) {
      throw new PlasmError(
        "bad-input",
        `Cannot give directory to job: a link leads out of it: ${printable(path)}`,
      );
    }
    if (within.includes(real)) {
      throw new PlasmError(
        "bad-input",
        `Cannot give directory to job: a link leads back up: ${printable(path)}`,
      );
    }
    const info = await orInputError(path, () => Deno.stat(real));
    if (info.isDirectory) {
      await copyTree(real, `${guest}/${name}`, { ...context, within: [...within, real] });
    } else await copyFile(real, `${guest}/${name}`, { ...context, info });
  }
}

async function copyFile(
  host: string,
  guest: string,
  context: CopyContext & { info: Deno.FileInfo },
): Promise<void> {
  const { budget, info } = context;
  if (!info.isFile) {
    throw new PlasmError(
      "bad-input",
      `Cannot give to job: neither file nor directory: ${printable(host)}`,
    );
  }
  if (info.size > budget.bytes) {
    throw new PlasmError(
      "bad-input",
      `Cannot give so much to job: more than ${budget.maxBytes} bytes with ${printable(host)}`,
    );
  }
  const data = await readCappedFile(host, {
    maxBytes: budget.bytes,
    code: "bad-input",
    what: "input",
  });
  budget.bytes -= data.length;
  context.add(guest, data);
}

async function orInputError<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    throw new PlasmError(
      "bad-input",
      `Cannot read input: ${fileErrorReason(error)}: ${printable(path)}`,
      {
        cause: error,
      },
    );
  }
}

function baseName(path: string): string {
  return path.replace(/\/+$/, "").split("/").at(-1) ?? "";
}
