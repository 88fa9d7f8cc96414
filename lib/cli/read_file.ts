/**
 * Reads what a command was given by name.
 * @module
 */
import { joinBytes, printable } from "../util/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";

/** Options of {@linkcode readCappedFile}. */
export interface ReadCappedFileOptions {
  /** Size of the file at most. */
  maxBytes: number;
  /** Code of the error when it cannot be used. */
  code: "bad-module" | "bad-manifest" | "bad-input";
  /** What it is, for the message. */
  what: string;
}

/**
 * Reads a file, but no more of it than is allowed.
 *
 * @throws {PlasmError} Of the code given, saying why it cannot be used.
 */
export async function readCappedFile(
  path: string,
  options: ReadCappedFileOptions,
): Promise<Uint8Array> {
  const { maxBytes, code, what } = options;
  const fail = (reason: string) => {
    throw new PlasmError(code, `Cannot read ${what}: ${reason}: ${printable(path)}`);
  };
  try {
    using file = await Deno.open(path);
    const { isDirectory, size } = await file.stat();
    if (isDirectory) fail("it is a directory");
    if (size > maxBytes) fail(`it has ${size} bytes, allowed are ${maxBytes}`);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    // Read by the byte, not by the size: a pipe has none, and a file may grow meanwhile.
    for (const buffer = new Uint8Array(64 * 1024);;) {
      const count = await file.read(buffer);
      if (count === null) break;
      bytes += count;
      if (bytes > maxBytes) fail(`it has more than ${maxBytes} bytes`);
      parts.push(buffer.slice(0, count));
    }
    return joinBytes(parts);
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    return fail(fileErrorReason(error)) as never;
  }
}

/** The name of an OS error, without the path and number that Deno adds. */
export function fileErrorReason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "there is no such file";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) return "plasm may not touch it";
  return error instanceof Error
    ? error.message.replace(/ \(os error \d+\).*$/s, "")
    : String(error);
}
