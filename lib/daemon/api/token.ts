/**
 * The bearer token of the API on TCP.
 * @module
 */
import { readPrivateFile, writePrivateFile } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { toHex } from "../../util/mod.ts";
import { stateError } from "../store/mod.ts";

/**
 * Puts a damaged token out of the way: unlike one that the operator has chosen it can be made anew.
 *
 * @returns whether there was one
 * @throws {PlasmError} `state`
 */
export async function discardDamagedToken(path: string): Promise<boolean> {
  try {
    const text = await readPrivateFile(path);
    if (text === undefined || isToken(text.trim())) return false;
  } catch (error) {
    // Anything else that is wrong with the file is not for us to repair.
    if (PlasmError.from(error).details["damaged"] !== true) return false;
  }
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    throw stateError(`replace ${path}`, error);
  }
}

function isToken(text: string): boolean {
  return /^[\x21-\x7e]{16,}$/.test(text);
}

/**
 * Reads the token, creating the file (mode 0600) when it is missing.
 *
 * @throws {PlasmError} `bad-config` when the file is not private or no token; `state`
 */
export async function loadOrCreateToken(path: string): Promise<string> {
  try {
    const fresh = toHex(crypto.getRandomValues(new Uint8Array(32)));
    if (await readPrivateFile(path) === undefined) await writePrivateFile(path, `${fresh}\n`);
    const token = (await readPrivateFile(path))?.trim() ?? "";
    if (isToken(token)) return token;
  } catch (error) {
    const fault = PlasmError.from(error);
    if (fault.code === "state") throw fault;
    throw new PlasmError("bad-config", `Cannot use token file ${path}: ${fault.message}`, {
      hint: `Run chmod 600 ${path}`,
      cause: error,
    });
  }
  throw new PlasmError("bad-config", `Cannot use token file ${path}: fewer than 16 characters`, {
    hint: "Delete it to get a new one",
  });
}
