/**
 * Reads and writes the host files of a command: module, manifest, standard input, receipt and bundle.
 *
 * @module
 */
import type { Envelope, Receipt } from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import { abortable, collect, readFile, writeFile } from "../util/async/mod.ts";
import { escapeText, writeAll } from "../util/mod.ts";
import { type CliIo, commandInterrupted } from "./io.ts";

/** Maximum size of standard input that is sent as a whole, in bytes: a daemon's default limit. */
const MAX_STDIN_BYTES = 128 * 2 ** 20;

/** Options of {@linkcode readCappedFile}. */
export interface ReadCappedFileOptions {
  /** Maximum size, in bytes. */
  maxBytes: number;
  /** Code of the error if the file cannot be read. */
  code: "bad-module" | "bad-manifest" | "bad-input";
  /** Name of the content in error messages. */
  what: string;
  /** Creates the error for a file that is too large. @default {one with `code`} */
  tooLarge?: ((size: string) => PlasmError) | undefined;
  /** Ends the wait for the file: a named pipe may have no writer. @default {none} */
  signal?: AbortSignal | undefined;
}

/**
 * Reads a file of limited size.
 *
 * @throws {PlasmError} With the given code if the file cannot be read or is too large; `interrupted`
 */
export async function readCappedFile(
  path: string,
  { maxBytes, code, what, tooLarge, signal }: ReadCappedFileOptions,
): Promise<Uint8Array> {
  const exceed = (size: string) => {
    if (tooLarge !== undefined) throw tooLarge(size);
    fail(`it has ${size}, ${maxBytes} are allowed`);
  };
  const fail = (reason: string) => {
    throw new PlasmError(code, `Cannot read ${what}: ${reason}: ${escapeText(path)}`);
  };
  let content = new Uint8Array();
  let bytes = 0;
  try {
    await readFile(path, {
      signal,
      onOpen: ({ isDirectory, size }) => {
        if (isDirectory) fail("it is a directory");
        if (size > maxBytes) exceed(`${size} bytes`);
        content = new Uint8Array(size);
      },
      onChunk: (chunk) => {
        const end = bytes + chunk.length;
        if (end > maxBytes) exceed(`more than ${maxBytes} bytes`);
        if (end > content.length) {
          const grown = new Uint8Array(Math.min(Math.max(end, content.length * 2), maxBytes));
          grown.set(content.subarray(0, bytes));
          content = grown;
        }
        content.set(chunk, bytes);
        bytes = end;
      },
    });
    return content.subarray(0, bytes);
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    if (signal?.aborted) throw commandInterrupted();
    return fail(fileErrorReason(error)) as never;
  }
}

/**
 * Reads standard input to its end.
 *
 * @returns `undefined` if standard input is a terminal
 * @throws {PlasmError} `too-large`, `interrupted`
 */
export async function readWholeStdin(io: CliIo): Promise<Uint8Array | undefined> {
  if (io.stdinIsTerminal) return undefined;
  return await abortable(collectStdin(io), { signal: io.signal, error: commandInterrupted });
}

/**
 * Standard input, if one of the names is `-`.
 *
 * @throws {PlasmError} `usage` if it is a terminal, or named twice
 */
export function namedInput(
  names: readonly string[],
  io: CliIo,
): ReadableStream<Uint8Array> | undefined {
  const count = names.filter((name) => name === "-").length;
  if (count === 0) return undefined;
  if (count > 1) {
    throw new PlasmError("usage", "Cannot read standard input: - is named twice", {
      hint: "Name the other files",
    });
  }
  if (io.stdinIsTerminal) {
    throw new PlasmError("usage", "Cannot read standard input: it is a terminal", {
      hint: "Pipe a file into plasm, or name it",
    });
  }
  return io.stdin;
}

async function collectStdin(io: CliIo): Promise<Uint8Array> {
  const tooLarge = () =>
    new PlasmError(
      "too-large",
      `Cannot send standard input: it has more than ${MAX_STDIN_BYTES} bytes`,
      { hint: "Use plasm exec --pipe, which streams input of any length" },
    );
  return await collect(io.stdin, { maxBytes: MAX_STDIN_BYTES, tooLarge });
}

/** Kind of a file that a command writes, for messages. */
export type TargetKind = "receipt" | "bundle" | "evidence";

/**
 * Checks that a file can be written to a path. A job may run for hours, so this is checked before it starts.
 *
 * @throws {PlasmError} `usage`
 */
export async function checkTarget(path: string, kind: TargetKind): Promise<void> {
  try {
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? "." : path.slice(0, slash) || "/";
    if (!(await Deno.stat(parent)).isDirectory) throw new Error("its parent is not a directory");
    const existing = await Deno.stat(path).catch(() => undefined);
    if (existing?.isDirectory) throw new Error("it is a directory");
    if (existing === undefined || existing.isFile) {
      const { temporary } = await resolveTarget(path);
      (await Deno.open(temporary, { write: true, createNew: true })).close();
      await Deno.remove(temporary);
    } else if (kind !== "receipt") throw new Error("it is not a regular file");
  } catch (error) {
    throw targetError("usage", error, { path, kind });
  }
}

/** Options of {@linkcode writeReceipt}. */
export interface WriteReceiptOptions {
  /** Ends the wait for the reader of a named pipe. @default {none} */
  signal?: AbortSignal | undefined;
}

/**
 * Writes a receipt, or the envelope of several, as one line of JSON. A regular file is replaced atomically.
 *
 * @throws {PlasmError} `state`, `interrupted`
 */
export async function writeReceipt(
  path: string,
  receipt: Receipt | Envelope,
  { signal }: WriteReceiptOptions = {},
): Promise<void> {
  const text = new TextEncoder().encode(`${JSON.stringify(receipt)}\n`);
  const existing = await Deno.stat(path).catch(() => undefined);
  // A device or a pipe cannot be replaced.
  if (existing === undefined || existing.isFile) {
    return await replaceFile(path, [text], { kind: "receipt" });
  }
  try {
    await writeFile(path, text, { signal });
  } catch (error) {
    if (signal?.aborted) throw commandInterrupted();
    throw targetError("state", error, { path, kind: "receipt" });
  }
}

/** Options of {@linkcode replaceFile}. */
export interface ReplaceFileOptions {
  /** Kind of the file. */
  kind: TargetKind;
  /** Stops writing; the file then remains as it was. @default {never} */
  signal?: AbortSignal | undefined;
}

/**
 * Writes a file, or replaces its content atomically.
 *
 * @throws {PlasmError} `state`, `interrupted`; an error of the source
 */
export async function replaceFile(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
  { kind, signal }: ReplaceFileOptions,
): Promise<void> {
  const { file, temporary } = await resolveTarget(path);
  try {
    const target = await Deno.open(temporary, { write: true, createNew: true });
    try {
      for await (const chunk of chunks) {
        if (signal?.aborted) throw commandInterrupted();
        await writeAll(target, chunk);
      }
    } finally {
      target.close();
    }
    await Deno.rename(temporary, file);
  } catch (error) {
    await Deno.remove(temporary).catch(() => {});
    throw error instanceof PlasmError ? error : targetError("state", error, { path, kind });
  }
}

/** Reason of a file error, without the path and the number that Deno adds. */
export function fileErrorReason(error: unknown): string {
  if (error instanceof Deno.errors.NotFound) return "file not found";
  if (error instanceof Deno.errors.PermissionDenied) return "permission denied";
  if (error instanceof Deno.errors.NotCapable) return "plasm has no permission for it";
  if (error instanceof Deno.errors.IsADirectory) return "it is a directory";
  if (error instanceof Deno.errors.NotADirectory) return "its parent is not a directory";
  return error instanceof Error
    ? error.message.replace(/ \(os error \d+\).*$/s, "")
    : String(error);
}

/** The file to replace, with links resolved, and the temporary file that replaces it. */
async function resolveTarget(path: string): Promise<{ file: string; temporary: string }> {
  const file = await Deno.realPath(path).catch(() => path);
  return { file, temporary: `${file}.${Deno.pid}.part` };
}

function targetError(
  code: "usage" | "state",
  cause: unknown,
  { path, kind }: { path: string; kind: TargetKind },
): PlasmError {
  const reason = fileErrorReason(cause);
  return new PlasmError(code, `Cannot write ${kind}: ${reason}: ${escapeText(path)}`, { cause });
}
