/**
 * Who may call the API over TCP. A browser on this machine reaches loopback for every page it
 * shows: a token keeps other users out, Host keeps out pages that rebind their name to 127.0.0.1, and
 * Origin those that call across sites.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

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
 * Compares two secrets in a time that depends on neither: their hashes, which nobody can steer,
 * are compared in full.
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
