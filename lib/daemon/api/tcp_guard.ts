/**
 * Authorizes API requests over TCP. A browser on this machine reaches loopback for every page it
 * shows: a token keeps other users out, Host keeps out pages that rebind their name to 127.0.0.1, and
 * Origin those that call across sites.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { readPrivateFile, writePrivateFile } from "../../core/mod.ts";
import { toHex } from "../../util/mod.ts";
import { stateError } from "../store/mod.ts";

/** Options of {@linkcode checkTcpRequest}. */
export interface TcpGuardOptions {
  /** What the client must know. */
  token: string;
  /** Port on which the API listens. */
  port: number;
  /** Origins of pages that may call. */
  allowedOrigins: readonly string[];
}

async function digest(text: string): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text)));
}

/**
 * Compares two secrets in constant time, by their hashes.
 */
export async function equalSecrets(a: string, b: string): Promise<boolean> {
  const [left, right] = [await digest(a), await digest(b)];
  let difference = 0;
  for (let at = 0; at < left.length; at++) difference |= (left[at] ?? 0) ^ (right[at] ?? 0);
  return difference === 0;
}

/**
 * Checks a request that came over TCP.
 *
 * @throws {PlasmError} `forbidden` for a foreign Host or Origin, `unauthorized` for a missing or wrong
 * token
 */
export async function checkTcpRequest(request: Request, options: TcpGuardOptions): Promise<void> {
  const { token, port, allowedOrigins } = options;
  const host = request.headers.get("host")?.toLowerCase() ?? "";
  const hosts = ["127.0.0.1", "localhost", "[::1]"].map((name) => `${name}:${port}`);
  if (!hosts.includes(host)) {
    throw new PlasmError("forbidden", `Cannot serve request: Host "${host}" is not this machine`, {
      details: { allowed: hosts },
    });
  }
  const origin = request.headers.get("origin");
  if (origin !== null && !allowedOrigins.includes(origin)) {
    throw new PlasmError("forbidden", `Cannot serve request: Origin "${origin}" is not allowed`, {
      hint: "Add it to api.tcp.allowed_origins",
    });
  }
  // A preflight carries no credentials, and what it answers is no secret.
  if (request.method === "OPTIONS") return;
  const given = /^Bearer ([\x21-\x7e]+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  if (given === undefined || !(await equalSecrets(given, token))) {
    throw new PlasmError(
      "unauthorized",
      `Cannot serve request: the bearer token is ${given === undefined ? "missing" : "wrong"}`,
      { hint: "Send Authorization: Bearer with the content of api.tcp.token_file" },
    );
  }
}

/** Headers that let a page of an allowed origin read the answer. */
export function corsHeaders(origin: string | null): Record<string, string> {
  if (origin === null) return {};
  return {
    "access-control-allow-origin": origin,
    "access-control-allow-headers": "authorization, content-type, last-event-id",
    "access-control-allow-methods": "GET, PUT, POST, DELETE",
    "vary": "origin",
  };
}

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
