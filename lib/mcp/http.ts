/**
 * Serves the protocol over streamable HTTP, on this machine only and with a token.
 *
 * @module
 */
import { createMcpHandler } from "@modelcontextprotocol/server";
import { PlasmError } from "../core/errors/mod.ts";
import { equalSecrets } from "../util/mod.ts";
import { createMcpServer } from "./mcp_server.ts";
import type { McpRunner } from "./runner.ts";

/** Path of the endpoint. */
const PATH = "/mcp";

/** Options of {@linkcode serveMcpHttp}. */
export interface McpHttpOptions {
  /** Port; 0 is any free one. */
  port: number;
  /** Token that every request must carry. */
  token: string;
  /** Receives errors of requests. */
  onError: (error: Error) => void;
}

/** A server that listens. */
export interface McpHttpServer extends AsyncDisposable {
  /** URL of the endpoint. */
  readonly url: string;
}

/**
 * Listens on 127.0.0.1. Requests need `Authorization: Bearer TOKEN`, this host's name, and no foreign origin.
 *
 * @throws {PlasmError} `usage` if the port is taken
 */
export function serveMcpHttp(
  runner: McpRunner,
  { port, token, onError }: McpHttpOptions,
): McpHttpServer {
  const handler = createMcpHandler(() => createMcpServer(runner), { onerror: onError });
  const serve = async (
    request: Request,
    { completed }: Deno.ServeHandlerInfo,
  ): Promise<Response> => {
    const problem = await problemOf(request, { token, port: server.addr.port });
    if (problem !== undefined) return problem;
    // The signal of Deno's own request also aborts after a success.
    const gone = new AbortController();
    completed.catch(() => gone.abort());
    const { url, method, headers, body } = request;
    return await handler.fetch(new Request(url, { method, headers, body, signal: gone.signal }));
  };
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, serve);
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new PlasmError("usage", `Cannot listen on port ${port}: it is in use`, {
      hint: "Choose another port, or 0 for any free one",
    });
  }
  return {
    url: `http://127.0.0.1:${server.addr.port}${PATH}`,
    async [Symbol.asyncDispose]() {
      await handler.close();
      await server.shutdown();
    },
  };
}

/** Answer to a request that is refused; undefined if it may be served. */
async function problemOf(
  request: Request,
  { token, port }: { token: string; port: number },
): Promise<Response | undefined> {
  const refuse = (status: number, text: string): Response =>
    new Response(`${text}\n`, {
      status,
      headers: status === 401 ? { "www-authenticate": "Bearer" } : {},
    });
  const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];
  // A page of another site reaches this port under its own name (DNS rebinding), or with its own origin.
  if (!hosts.includes(request.headers.get("host") ?? "")) return refuse(403, "Unknown host");
  const origin = request.headers.get("origin");
  if (origin !== null && !hosts.some((host) => origin === `http://${host}`)) {
    return refuse(403, "Foreign origin");
  }
  if (new URL(request.url).pathname !== PATH) return refuse(404, `Only ${PATH} is served`);
  const given = request.headers.get("authorization")?.match(/^Bearer (.+)$/i)?.[1] ?? "";
  return await equalSecrets(given, token) ? undefined : refuse(401, "Wrong or missing token");
}
