/**
 * Standard input that is sent as a whole.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import type { CliIo } from "./io.ts";

/** Most of standard input that is sent, in bytes: what a daemon takes by default. */
const MAX_STDIN_BYTES = 128 * 2 ** 20;

/**
 * Reads standard input to its end; nothing from a terminal.
 *
 * @throws {PlasmError} `too-large`
 */
export async function readWholeStdin(io: CliIo): Promise<Uint8Array | undefined> {
  if (io.stdinIsTerminal) return undefined;
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const part of io.stdin) {
    bytes += part.length;
    if (bytes > MAX_STDIN_BYTES) {
      throw new PlasmError(
        "too-large",
        `Cannot send standard input: more than ${MAX_STDIN_BYTES} bytes`,
        { hint: "plasm exec --pipe takes any length" },
      );
    }
    parts.push(part);
  }
  return await new Blob(parts as Uint8Array<ArrayBuffer>[]).bytes();
}
