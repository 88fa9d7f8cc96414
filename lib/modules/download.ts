/**
 * Downloads content of limited size over HTTPS.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import { abortable, deadline } from "../util/async/mod.ts";
import { concat, escapeText } from "../util/mod.ts";
import type { HostPolicy, PinnedConnections } from "./policy/mod.ts";
import { isLoopback } from "./reference.ts";

/** Most redirects of one download. */
const MAX_REDIRECTS = 5;

/** Longest wait for a response or for more of it, in milliseconds. */
const SILENCE_MS = 30_000;

/** Certificates of the system's authorities on Debian, Fedora and Alpine. */
const CA_FILES = [
  "/etc/ssl/certs/ca-certificates.crt",
  "/etc/pki/tls/certs/ca-bundle.crt",
  "/etc/ssl/cert.pem",
];

/** Progress of a download. */
export interface DownloadProgress {
  /** Bytes received. */
  received: number;
  /** Bytes in total; undefined if the server does not say. */
  total: number | undefined;
}

/** Options of {@linkcode Downloader.get}. */
export interface DownloadOptions {
  /** Most bytes of the content. */
  maxBytes: number;
  /** Header fields. `authorization` is sent to the first host only. @default {{}} */
  headers?: Record<string, string> | undefined;
  /** Statuses that are returned besides 200. @default {[]} */
  accept?: readonly number[] | undefined;
  /** Called with each piece. @default {nothing} */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Aborts the download. @default {never} */
  signal?: AbortSignal | undefined;
}

/** A response with its content. */
export interface Downloaded {
  /** Status; 200 unless another one is accepted. */
  status: number;
  headers: Headers;
  content: Uint8Array<ArrayBuffer>;
}

/** Options of a {@linkcode Downloader}. */
export interface DownloaderOptions {
  /** PEM file of additional authorities. @default {the system's} */
  caFile?: string | undefined;
  /** Servers that it may use, also after a redirect. @default {all} */
  policy?: HostPolicy | undefined;
}

/** Downloads over HTTPS; plain HTTP to this machine only. */
export class Downloader implements Disposable {
  readonly #policy: HostPolicy | undefined;
  readonly #caCerts: string[];
  #client: Deno.HttpClient | undefined;
  #pinned: PinnedConnections | undefined;

  constructor({ caFile, policy }: DownloaderOptions = {}) {
    this.#policy = policy;
    this.#caCerts = authorities(caFile);
  }

  /**
   * Downloads the content of a URL. Redirects stay on HTTPS, and lead to this machine only from there.
   *
   * @throws {PlasmError} `unreachable`, `not-found`, `unauthorized`, `too-large`, `protocol`, `interrupted`
   */
  async get(url: URL, options: DownloadOptions): Promise<Downloaded> {
    const { headers = {}, signal } = options;
    let at = url;
    for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects++) {
      const { authorization: _, ...others } = headers;
      const response = await this.#request(at, at.host === url.host ? headers : others, signal);
      const next = redirectOf(response, at);
      if (next === undefined) return await this.#read(at, response, options);
      await response.body?.cancel();
      checkRedirect(at, next);
      at = next;
    }
    throw failure("protocol", url, `it redirects more than ${MAX_REDIRECTS} times`);
  }

  async #request(
    url: URL,
    headers: Record<string, string>,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const silent = new AbortController();
    const signals = signal === undefined ? [silent.signal] : [signal, silent.signal];
    try {
      return await deadline(
        fetch(url, {
          headers,
          redirect: "manual",
          client: await this.#clientFor(url, signal),
          signal: AbortSignal.any(signals),
        }),
        { ms: SILENCE_MS, error: () => tooSlow(url) },
      );
    } catch (error) {
      silent.abort();
      throw translated(error, url, signal);
    }
  }

  async #clientFor(url: URL, signal: AbortSignal | undefined): Promise<Deno.HttpClient> {
    const caCerts = this.#caCerts;
    const policy = this.#policy;
    if (policy === undefined) return this.#client ??= Deno.createHttpClient({ caCerts });
    // Loaded on demand: only a daemon has a policy.
    const { PinnedConnections } = await import("./policy/mod.ts");
    this.#pinned ??= new PinnedConnections({ policy, caCerts });
    return await this.#pinned.clientFor(url, signal);
  }

  async #read(url: URL, response: Response, options: DownloadOptions): Promise<Downloaded> {
    const { status, headers, body } = response;
    const { maxBytes, accept = [], onProgress, signal } = options;
    const reader = body?.getReader();
    try {
      if (status !== 200 && !accept.includes(status)) throw refusal(url, status);
      // The length of compressed content is not that of what it expands to.
      const isEncoded = headers.has("content-encoding");
      const length = Number(headers.get("content-length") ?? NaN);
      const total = Number.isSafeInteger(length) && !isEncoded ? length : undefined;
      if (total !== undefined && total > maxBytes) throw tooLarge(url, `${total} bytes`, maxBytes);
      const parts: Uint8Array[] = [];
      let received = 0;
      for (;;) {
        // In Deno the signal of fetch does not reach a body once memory has been collected.
        const next = reader && await deadline(abortable(reader.read(), { signal }), {
          ms: SILENCE_MS,
          error: () => tooSlow(url),
        });
        if (next === undefined || next.done) break;
        received += next.value.length;
        if (received > maxBytes) throw tooLarge(url, `more than ${maxBytes} bytes`, maxBytes);
        parts.push(next.value);
        onProgress?.({ received, total });
      }
      if (total !== undefined && received !== total && status === 200) {
        throw failure(
          "protocol",
          url,
          `it has ${total} bytes, the response ended after ${received}`,
        );
      }
      return { status, headers, content: concat(parts) };
    } catch (error) {
      await reader?.cancel().catch(() => {}); // the connection may be broken
      throw translated(error, url, signal);
    }
  }

  /** Closes connections. */
  [Symbol.dispose](): void {
    this.#client?.close();
    this.#pinned?.[Symbol.dispose]();
  }
}

function authorities(caFile: string | undefined): string[] {
  for (const path of caFile === undefined ? CA_FILES : [caFile]) {
    try {
      // Reading a named pipe would block the process, signals included.
      if (!Deno.statSync(path).isFile) throw new Error(`it is not a regular file: ${path}`);
      return [Deno.readTextFileSync(path)];
    } catch (error) {
      if (caFile === undefined) continue;
      const reason = error instanceof Deno.errors.NotFound
        ? `file not found: ${path}`
        : error instanceof Error
        ? error.message
        : String(error);
      throw new PlasmError("usage", `Cannot read certificates: ${reason}`, {
        hint: "Set SSL_CERT_FILE to a PEM file, or unset it",
      });
    }
  }
  return [];
}

function redirectOf(response: Response, url: URL): URL | undefined {
  if (![301, 302, 303, 307, 308].includes(response.status)) return undefined;
  const location = response.headers.get("location") ?? "";
  if (location === "" || !URL.canParse(location, url)) {
    throw failure("protocol", url, "it redirects to no valid URL");
  }
  return new URL(location, url);
}

function checkRedirect(from: URL, to: URL): void {
  const target = escapeText(to.href);
  if (isLoopback(to.hostname) && !isLoopback(from.hostname)) {
    throw failure("policy", from, `it redirects to this machine: ${target}`);
  }
  if (to.protocol !== "https:" && !(to.protocol === "http:" && isLoopback(to.hostname))) {
    throw failure("policy", from, `it redirects away from https: ${target}`);
  }
}

function refusal(url: URL, status: number): PlasmError {
  const why = `the server responded with status ${status}`;
  if (status === 404 || status === 410) return failure("not-found", url, why);
  if (status === 401 || status === 403) return failure("unauthorized", url, why);
  if (status === 429 || status >= 500) return failure("unreachable", url, why);
  return failure("protocol", url, why);
}

function tooLarge(url: URL, size: string, maxBytes: number): PlasmError {
  return new PlasmError(
    "too-large",
    `Cannot download ${escapeText(url.href)}: it has ${size}, ${maxBytes} are allowed`,
    { details: { allowed: maxBytes } },
  );
}

function tooSlow(url: URL): PlasmError {
  return failure("unreachable", url, `the server sent nothing for ${SILENCE_MS / 1000} s`);
}

type Code = "unreachable" | "not-found" | "unauthorized" | "policy" | "protocol";

const HINTS: Partial<Record<Code, string>> = {
  "unreachable": "Check the address and the network, or use --offline with a module of the cache",
  "not-found": "Check the reference",
  "unauthorized": "Log in with docker login; plasm reads ~/.docker/config.json",
};

function failure(code: Code, url: URL, why: string): PlasmError {
  return new PlasmError(code, `Cannot download ${escapeText(url.href)}: ${why}`, {
    hint: HINTS[code],
  });
}

function translated(error: unknown, url: URL, signal: AbortSignal | undefined): PlasmError {
  if (error instanceof PlasmError) return error;
  if (signal?.aborted) {
    return new PlasmError("interrupted", "Download interrupted by the caller", { cause: error });
  }
  let cause = error;
  while (cause instanceof Error && cause.cause instanceof Error) cause = cause.cause;
  const reason = cause instanceof Error ? cause.message : String(cause);
  return failure(
    "unreachable",
    url,
    escapeText(reason.replace(/^.*client error \(Connect\): /s, "")),
  );
}
