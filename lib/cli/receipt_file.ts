/**
 * Writes receipts to files: whole or not at all.
 * @module
 */
import type { Receipt } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { printable } from "../util/mod.ts";
import { fileErrorReason } from "./read_file.ts";

/**
 * Checks before a job runs that its receipt can be kept, as far as that can be known.
 *
 * @throws {PlasmError} `usage`.
 */
export async function checkReceiptPath(path: string): Promise<void> {
  try {
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? "." : path.slice(0, slash) || "/";
    if (!(await Deno.stat(parent)).isDirectory) throw new Error("its parent is no directory");
    const existing = await Deno.stat(path).catch(() => undefined);
    if (existing?.isDirectory) throw new Error("it is a directory");
    if (existing === undefined || existing.isFile) {
      // A job may run for hours: a place that cannot be written to is to be known before.
      const { target } = await destination(path);
      (await Deno.open(target, { write: true, createNew: true })).close();
      await Deno.remove(target);
    }
  } catch (error) {
    throw new PlasmError(
      "usage",
      `Cannot write receipt: ${fileErrorReason(error)}: ${printable(path)}`,
      { cause: error },
    );
  }
}

/**
 * Writes a receipt as one line of JSON.
 *
 * @throws {PlasmError} `state` when it cannot be written.
 */
export async function writeReceipt(path: string, receipt: Receipt): Promise<void> {
  const text = `${JSON.stringify(receipt)}\n`;
  const existing = await Deno.stat(path).catch(() => undefined);
  // A device or a pipe is written to; a file is replaced, so that nobody reads half of it.
  const direct = existing !== undefined && !existing.isFile;
  const { file, target } = direct ? { file: path, target: path } : await destination(path);
  try {
    await Deno.writeTextFile(target, text, direct ? {} : { createNew: true });
    if (!direct) await Deno.rename(target, file);
  } catch (error) {
    if (!direct) await Deno.remove(target).catch(() => {});
    throw new PlasmError(
      "state",
      `Cannot write receipt: ${fileErrorReason(error)}: ${printable(path)}`,
      {
        cause: error,
      },
    );
  }
}

/** The file to replace, of which `path` may be a link, and the name under which it is written. */
async function destination(path: string): Promise<{ file: string; target: string }> {
  const file = await Deno.realPath(path).catch(() => path);
  return { file, target: `${file}.${Deno.pid}.part` };
}
