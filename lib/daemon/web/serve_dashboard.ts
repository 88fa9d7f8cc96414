/**
 * Serves the dashboard on loopback: its page, and the daemon's API for requests with the session cookie.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { PAGE } from "./page.gen.ts";

/** Paths of the daemon's API that the page uses. */
const API = /^\/(?:v1\/|version$|ready$)/;

/** Headers of a request that the daemon receives. */
const REQUEST_HEADERS = ["accept", "content-type", "content-length", "last-event-id"];

/** Headers of the daemon's response that the page receives. */
const RESPONSE_HEADERS = [
  ...["content-type", "content-length", "content-disposition", "cache-control", "retry-after"],
];

const NO_STORE = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

/** The page loads its own files and nothing else. */
const PAGE_HEADERS = {
  ...NO_STORE,
  "content-security-policy": [
    ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"],
    ...["img-src data:", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
  ].join("; "),
  "referrer-policy": "no-referrer",
  "cross-origin-opener-policy": "same-origin",
};

/** What jobs wrote is never rendered with the page's rights. */
const DATA_HEADERS = { ...NO_STORE, "content-security-policy": "default-src 'none'; sandbox" };

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
  const session = new Session();
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
    server = Deno.serve({ hostname: "127.0.0.1", port, onListen() {} }, async (request) => {
      const url = new URL(request.url);
      const refused = session.check(request, { url, port: server.addr.port });
      if (refused !== undefined) return refused;
      const page = PAGE[url.pathname];
      if (page !== undefined) {
        return new Response(page.text, { headers: { ...PAGE_HEADERS, "content-type": page.type } });
      }
      if (!API.test(url.pathname)) return text(404, "There is no such page. Open / instead.");
      try {
        return await forward(request, { url, client: clientOf(socket()) });
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
  return {
    url: `http://127.0.0.1:${server.addr.port}/?token=${session.token}`,
    async [Symbol.asyncDispose]() {
      // Ends streams that the page follows.
      for (const client of clients.values()) client.close();
      await server.shutdown();
    },
  };
}

/** Sends a request to the daemon, and its response to the page. */
async function forward(
  request: Request,
  { url, client }: { url: URL; client: Deno.HttpClient },
): Promise<Response> {
  const response = await fetch(`http://localhost${url.pathname}${url.search}`, {
    method: request.method,
    headers: picked(request.headers, REQUEST_HEADERS),
    body: request.body,
    client,
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

function text(status: number, message: string): Response {
  const headers = { ...PAGE_HEADERS, "content-type": "text/plain; charset=utf-8" };
  return new Response(`${message}\n`, { status, headers });
}

/** Who may use the dashboard: the holder of the token, once, then of the cookie. */
class Session {
  readonly token: string = secret();
  readonly #cookie = secret();
  #isOpened = false;

  /** Answers a request that is not served; undefined if it is. */
  check(
    { method, headers }: Request,
    { url, port }: { url: URL; port: number },
  ): Response | undefined {
    const hosts = [`127.0.0.1:${port}`, `localhost:${port}`];
    // A page of another site reaches this port under its own name (DNS rebinding), or with its own origin.
    if (!hosts.includes(headers.get("host") ?? "")) return text(403, "Unknown host");
    const origin = headers.get("origin");
    const isForeign = origin !== null && !hosts.some((host) => origin === `http://${host}`);
    if (isForeign || !["same-origin", "none", null].includes(headers.get("sec-fetch-site"))) {
      return text(403, "This page is not for other sites");
    }
    // Browsers share cookies between the ports of a host.
    const name = `plasm_${port}`;
    const cookies = (headers.get("cookie") ?? "").split(/; */);
    if (cookies.includes(`${name}=${this.#cookie}`)) return undefined;
    const isToken = url.pathname === "/" && method === "GET" && url.searchParams.has("token");
    if (!isToken) return text(401, "Open the address that plasm dashboard has printed.");
    if (this.#isOpened || url.searchParams.get("token") !== this.token) {
      return text(403, "This address is not valid any more. Run plasm dashboard again.");
    }
    this.#isOpened = true;
    return new Response(null, {
      status: 303,
      headers: {
        ...PAGE_HEADERS,
        location: "/",
        "set-cookie": `${name}=${this.#cookie}; HttpOnly; SameSite=Strict; Path=/`,
      },
    });
  }
}

function secret(): string {
  return crypto.getRandomValues(new Uint8Array(32)).toHex();
}
