/**
 * Serves the dashboard on loopback: its page, and the daemon's API for requests with the session cookie.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { DATA_HEADERS, PageServer } from "./page_server.ts";

/** Paths of the daemon's API that the page uses. */
const API = /^\/(?:v1\/|version$|ready$)/;

/** Headers of a request that the daemon receives. */
const REQUEST_HEADERS = ["accept", "content-type", "content-length", "last-event-id"];

/** Headers of the daemon's response that the page receives. */
const RESPONSE_HEADERS = [
  ...["content-type", "content-length", "content-disposition", "cache-control", "retry-after"],
];

/** Options of {@linkcode serveDashboard}. */
export interface DashboardOptions {
  /** Port of 127.0.0.1; 0 is any free one. */
  port: number;
  /**
   * Finds the daemon's socket; called for each request, as the daemon may restart.
   *
   * @throws {PlasmError} `no-daemon`
   */
  socket: () => string;
}

/** A dashboard that is served. */
export interface Dashboard extends AsyncDisposable {
  /** Address with a token, which opens the page once. */
  readonly url: string;
}

/**
 * Listens on 127.0.0.1. The token of the URL is exchanged for a cookie, which ends with this process.
 *
 * @throws {PlasmError} `usage` if the port is taken
 */
export function serveDashboard({ port, socket }: DashboardOptions): Dashboard {
  const clients = new Map<string, Deno.HttpClient>();
  const stopping = new AbortController();
  const { signal } = stopping;
  const clientOf = (path: string): Deno.HttpClient => {
    let client = clients.get(path);
    if (client === undefined) {
      client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
      clients.set(path, client);
    }
    return client;
  };
  let server: Deno.HttpServer<Deno.NetAddr>;
  try {
    server = Deno.serve({ hostname: "127.0.0.1", port, signal, onListen() {} }, async (request) => {
      const url = new URL(request.url);
      if (pages.isPagePath(url.pathname) || !API.test(url.pathname)) {
        return await pages.respond(request);
      }
      if (!pages.isSignedIn(request)) return pages.refuse(request);
      try {
        return await forward(request, {
          url,
          client: clientOf(socket()),
          signal,
        });
      } catch (error) {
        const failure = error instanceof PlasmError
          ? error
          : new PlasmError("no-daemon", "The daemon does not answer", {
            hint: "Start it with plasm daemon or systemctl start plasm",
          });
        const json = { error: failure.toJSON() };
        return Response.json(json, { status: failure.httpStatus, headers: DATA_HEADERS });
      }
    });
  } catch (error) {
    if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    throw new PlasmError("usage", `Cannot listen on port ${port}: it is in use`, {
      hint: "Choose another port, or 0 for any free one",
    });
  }
  const pages = new PageServer({ port: server.addr.port, signIn: { by: "link" } });
  return {
    url: `http://127.0.0.1:${server.addr.port}/?token=${pages.token}`,
    async [Symbol.asyncDispose]() {
      // Ends the streams that a page follows; shutdown() would wait for them.
      stopping.abort();
      await server.finished;
      for (const client of clients.values()) client.close();
    },
  };
}

/** Sends a request to the daemon, and its response to the page. */
async function forward(
  request: Request,
  { url, client, signal }: { url: URL; client: Deno.HttpClient; signal: AbortSignal },
): Promise<Response> {
  const response = await fetch(`http://localhost${url.pathname}${url.search}`, {
    method: request.method,
    headers: picked(request.headers, REQUEST_HEADERS),
    body: request.body,
    client,
    signal,
    redirect: "manual",
  });
  return new Response(response.body, {
    status: response.status,
    headers: { ...picked(response.headers, RESPONSE_HEADERS), ...DATA_HEADERS },
  });
}

function picked(headers: Headers, names: readonly string[]): Record<string, string> {
  return Object.fromEntries(names.flatMap((name) => {
    const value = headers.get(name);
    return value === null ? [] : [[name, value]];
  }));
}
