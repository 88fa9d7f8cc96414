/**
 * Authorizes API requests over TCP.
 *
 * Any page in a browser on this machine can reach loopback. The bearer token blocks other users, the Host check blocks
 * pages that rebind their name to 127.0.0.1 (DNS rebinding), and the Origin check blocks cross-site requests.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { readPrivateFile, writePrivateFile } from "../../core/mod.ts";
import { equalSecrets, toHex } from "../../util/mod.ts";
import { stateError } from "../store/mod.ts";
import { loopbackHosts, type PageServer } from "../web/mod.ts";

/** What authorizes requests on TCP. */
export interface TcpGuard extends TcpGuardOptions {
  /** Serves the dashboard, and knows the browsers that have signed in. */
  pages: PageServer;
}

/** Options of {@linkcode checkTcpRequest}. */
export interface TcpGuardOptions {
  /** Bearer token that the client must send. */
  token: string;
  /** Port on which the API listens. */
  port: number;
  /** Origins of pages that may send requests. */
  allowedOrigins: readonly string[];
}

/** What {@linkcode checkTcpRequest} reads of a request. */
export interface TcpRequest {
  method: string;
  headers: { get(name: string): string | null | undefined };
}

/**
 * Checks a request received over TCP.
 *
 * @returns whether the request has the token: a preflight carries no credentials
 * @throws {PlasmError} `forbidden` for a foreign Host or Origin; `unauthorized` for a missing or wrong token
 */
export async function checkTcpRequest(
  request: TcpRequest,
  options: TcpGuardOptions,
): Promise<boolean> {
  const { token, port, allowedOrigins } = options;
  const host = request.headers.get("host")?.toLowerCase() ?? "";
  const hosts = loopbackHosts(port);
  if (!hosts.includes(host)) {
    throw new PlasmError("forbidden", `Cannot serve request: Host "${host}" is not this machine`, {
      details: { allowed: hosts },
    });
  }
  const origin = request.headers.get("origin") ?? null;
  if (origin !== null && !allowedOrigins.includes(origin)) {
    throw new PlasmError("forbidden", `Cannot serve request: Origin "${origin}" is not allowed`, {
      hint: "Add it to api.tcp.allowed_origins",
    });
  }
  // The response to a preflight is not secret.
  if (request.method === "OPTIONS") return false;
  await checkToken(request, { token, source: "api.tcp.token_file" });
  return true;
}

/**
 * Checks the bearer token of a request.
 *
 * @param options `source` is the configuration key of the token's file.
 * @throws {PlasmError} `unauthorized` for a missing or wrong token
 */
export async function checkToken(
  { headers }: Pick<TcpRequest, "headers">,
  { token, source }: { token: string; source: string },
): Promise<void> {
  const received = /^Bearer ([\x21-\x7e]+)$/i.exec(headers.get("authorization") ?? "")?.[1];
  if (received !== undefined && await equalSecrets(received, token)) return;
  throw new PlasmError(
    "unauthorized",
    `Cannot serve request: the bearer token is ${received === undefined ? "missing" : "wrong"}`,
    { hint: `Send Authorization: Bearer with the content of ${source}` },
  );
}

/** Headers that allow a page of an allowed origin to read the response. */
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
 * Deletes a damaged generated token, so that a new one is created.
 *
 * @returns whether the token was damaged
 * @throws {PlasmError} `state`
 */
export async function discardDamagedToken(path: string): Promise<boolean> {
  try {
    const text = await readPrivateFile(path);
    if (text === undefined || isToken(text.trim())) return false;
  } catch (error) {
    // Other errors are reported when the token is loaded.
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
 * Reads the token; creates the file (mode 0600) if it is missing.
 *
 * @throws {PlasmError} `bad-config` if the file is not private or holds no valid token; `state`
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
    const why = fault.message.replace(`Cannot use ${path}: `, "");
    throw new PlasmError("bad-config", `Cannot use token file ${path}: ${why}`, {
      hint: fault.hint?.startsWith("Run ") ? fault.hint : `Move ${path} away to get a new one`,
      cause: error,
    });
  }
  throw new PlasmError("bad-config", `Cannot use token file ${path}: fewer than 16 characters`, {
    hint: "Delete it to get a new one",
  });
}
