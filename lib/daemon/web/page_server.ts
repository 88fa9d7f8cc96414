/**
 * Serves the page to browsers on this machine, and signs them in: a token is exchanged for a cookie that is valid until
 * this process ends.
 *
 * @module
 */
import { equalSecrets, toHex } from "../../util/mod.ts";

/** Paths of the page's files. */
const PAGE_PATHS: readonly string[] = ["/", "/dashboard.css", "/dashboard.js"];

const NO_STORE = { "cache-control": "no-store", "x-content-type-options": "nosniff" };

/** The page loads its own files and nothing else. */
const PAGE_HEADERS = {
  ...NO_STORE,
  "content-security-policy": [
    ...["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'"],
    ...["img-src data:", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"],
  ].join("; "),
  // With no-referrer, the form would be sent without an origin.
  "referrer-policy": "same-origin",
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
};

/** Headers of API responses to the page: what jobs wrote is never rendered with the page's rights. */
export const DATA_HEADERS: Readonly<Record<string, string>> = {
  ...NO_STORE,
  // Deno.serve would compress output that looks like text.
  "cache-control": "no-store, no-transform",
  "content-security-policy": "default-src 'none'; sandbox",
  "cross-origin-resource-policy": "same-origin",
};

/** Path to which the form sends its token. */
const SIGN_IN_PATH = "/sign-in";

/** Maximum size of the form's content, in bytes. */
const MAX_FORM_BYTES = 4096;

/** What identifies the sender of a request. */
export interface PageRequest {
  headers: { get(name: string): string | null | undefined };
}

/** Options of {@linkcode PageServer}. */
export interface PageServerOptions {
  /** Port of the loopback address on which the page is served. */
  port: number;
  /**
   * How browsers sign in. `link`: with the server's token in the address, once. `form`: with a token that the user
   * enters, so that a token that is valid for longer never is in an address.
   */
  signIn: { by: "link" } | { by: "form"; token: string };
}

/** Host headers of requests to a port of this machine. */
export function loopbackHosts(port: number): string[] {
  return ["127.0.0.1", "localhost", "[::1]"].map((name) => `${name}:${port}`);
}

/** Serves the page and the exchange of tokens. */
export class PageServer {
  /** Token of the address; it is accepted once. */
  readonly token: string = secret();
  readonly #options: PageServerOptions;
  readonly #hosts: readonly string[];
  readonly #cookie = secret();
  #isTokenUsed = false;

  constructor(options: PageServerOptions) {
    this.#options = options;
    this.#hosts = loopbackHosts(options.port);
  }

  /** Reports whether a path belongs to the page, not to the API. */
  isPagePath(pathname: string): boolean {
    return PAGE_PATHS.includes(pathname) || pathname === SIGN_IN_PATH;
  }

  /** Reports whether a request comes from a page of this server in a browser that has signed in. */
  isSignedIn(request: PageRequest): boolean {
    return this.#isOwn(request) && this.#hasCookie(request);
  }

  /** Responds to a request for a path of the page. */
  async respond(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const host = request.headers.get("host")?.toLowerCase() ?? "";
    // A page of another site reaches this port under its own name (DNS rebinding).
    if (!this.#hosts.includes(host)) return text(403, "This host name is not this machine's");
    const isRead = request.method === "GET" || request.method === "HEAD";
    const { signIn } = this.#options;
    if (pathname === "/" && isRead && signIn.by === "link" && searchParams.has("token")) {
      // The token proves enough: the page of a terminal or a file may open the address.
      return await this.#openLink(searchParams.get("token")!);
    }
    if (pathname === "/" && isRead && !this.isSignedIn(request)) return this.#signInPage(401);
    if (!this.#isOwn(request)) return text(403, "This page is not for other sites");
    if (pathname === SIGN_IN_PATH && signIn.by === "form") {
      if (request.method !== "POST") return redirect("/");
      return await this.#signIn(request, signIn.token);
    }
    if (!PAGE_PATHS.includes(pathname)) return text(404, "There is no such page; open / instead");
    if (!isRead) return text(405, "Use GET");
    const { PAGE } = await import("./page.gen.ts");
    const page = PAGE[pathname]!;
    return new Response(page.text, { headers: { ...PAGE_HEADERS, "content-type": page.type } });
  }

  /** Refuses a request to the API by a browser that has not signed in. */
  refuse(request: PageRequest): Response {
    return this.#isOwn(request)
      ? text(401, "Open the address that plasm dashboard has printed")
      : text(403, "This page is not for other sites");
  }

  async #openLink(token: string): Promise<Response> {
    if (this.#isTokenUsed || !await equalSecrets(token, this.token)) {
      return html(403, {
        title: "This address is not valid",
        body:
          "<p role='alert'>It opens the dashboard once. Run <code>plasm dashboard</code> again.</p>",
      });
    }
    this.#isTokenUsed = true;
    // A redirect would still count as the other site's request, to which no SameSite=Strict cookie is added.
    return html(200, {
      title: "Opening the dashboard",
      head: `<meta http-equiv="refresh" content="0; url=/">`,
      body: `<p><a href="/">Open the dashboard</a></p>`,
      headers: { "set-cookie": this.#newCookie },
    });
  }

  async #signIn(request: Request, expected: string): Promise<Response> {
    const length = Number(request.headers.get("content-length") ?? Infinity);
    if (!(length <= MAX_FORM_BYTES)) return text(413, "The form is too large");
    const token = new URLSearchParams(await request.text()).get("token")?.trim() ?? "";
    if (!await equalSecrets(token, expected)) return this.#signInPage(403, "This token is wrong.");
    return redirect("/", { "set-cookie": this.#newCookie });
  }

  #signInPage(status: number, problem?: string): Response {
    const alert = problem === undefined ? "" : `<p class="bad" role="alert">${problem}</p>`;
    if (this.#options.signIn.by === "link") {
      return html(status, {
        title: "Not signed in",
        body: "<p>Open the address that <code>plasm dashboard</code> has printed.</p>",
      });
    }
    return html(status, {
      title: "Sign in to plasm",
      body: `${alert}<form method="post" action="${SIGN_IN_PATH}">
<label>Token of the API
<input name="token" type="password" required autofocus autocomplete="off" spellcheck="false"></label>
<p>It is in the file of <code>api.tcp.token_file</code>: <code>api.token</code> in the daemon's state
directory, unless configured otherwise.</p>
<p><button type="submit">Sign in</button></p>
</form>`,
    });
  }

  /** Reports whether a request does not come from another site, or from another port of this machine. */
  #isOwn({ headers }: PageRequest): boolean {
    const host = headers.get("host")?.toLowerCase() ?? "";
    const origin = headers.get("origin") ?? null;
    const site = headers.get("sec-fetch-site") ?? null;
    return this.#hosts.includes(host) && (origin === null || origin === `http://${host}`) &&
      (site === null || site === "same-origin" || site === "none");
  }

  #hasCookie({ headers }: PageRequest): boolean {
    return (headers.get("cookie") ?? "").split(/; */).includes(this.#nameAndValue);
  }

  /** Browsers send the cookies of a host to all of its ports, so the name has the port. */
  get #nameAndValue(): string {
    return `plasm_${this.#options.port}=${this.#cookie}`;
  }

  get #newCookie(): string {
    return `${this.#nameAndValue}; HttpOnly; SameSite=Strict; Path=/`;
  }
}

/** Content of a page without script. */
interface PlainPage {
  title: string;
  body: string;
  /** Further elements of the head. @default {none} */
  head?: string;
  /** Further headers. @default {none} */
  headers?: Record<string, string>;
}

function html(status: number, { title, body, head = "", headers = {} }: PlainPage): Response {
  const document = `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/dashboard.css">
${head}
</head>
<body><main class="plain"><h1>${title}</h1>
${body}</main></body>
</html>
`;
  return new Response(document, {
    status,
    headers: { ...PAGE_HEADERS, "content-type": "text/html; charset=utf-8", ...headers },
  });
}

function redirect(location: string, headers: Record<string, string> = {}): Response {
  return new Response(null, { status: 303, headers: { ...PAGE_HEADERS, location, ...headers } });
}

function text(status: number, message: string): Response {
  const headers = { ...PAGE_HEADERS, "content-type": "text/plain; charset=utf-8" };
  return new Response(`${message}\n`, { status, headers });
}

function secret(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(32)));
}
