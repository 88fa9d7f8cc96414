/**
 * Sends HTTP requests to a daemon over its Unix socket, or over loopback TCP with a token.
 *
 * @module
 */
import { socketPaths } from "../core/mod.ts";
import { abortError, type JsonValue, PlasmError } from "../core/errors/mod.ts";
import { abortable } from "../util/async/mod.ts";
import { type LinesOptions, writeAll } from "../util/mod.ts";
import { SilenceWatch } from "./silence_watch.ts";

/** Maximum length of a line, in characters: an event has at most 64 KiB of output in base64. */
const MAX_LINE_LENGTH = 1024 * 1024;

/** Maximum size of a response head, in bytes; a daemon's head has less than 1 KiB. */
const MAX_HEAD_BYTES = 16 * 1024;

/** Maximum size of the body of an error response, in bytes. */
const MAX_BODY_BYTES = 64 * 1024;

/** Size of a part of a download, in bytes; more than a socket buffers. */
const DOWNLOAD_PART_BYTES = 512 * 1024;

/** Time in which a daemon answers the check, in milliseconds. */
const PROBE_MS = 3000;

/** Limits of the lines that a daemon may send. */
export const RESPONSE_LINES: LinesOptions = {
  maxLength: MAX_LINE_LENGTH,
  tooLong: () =>
    new PlasmError(
      "protocol",
      `Cannot read response: a line has more than ${MAX_LINE_LENGTH} characters`,
    ),
};

/** Address of a daemon. */
export interface DaemonAddress {
  /**
   * Path of its Unix socket.
   * @default {$PLASM_SOCKET, else the first default path that exists}
   */
  socket?: string | undefined;
  /**
   * Its URL on loopback TCP, such as `http://127.0.0.1:7433`, instead of a socket.
   * @default {the socket}
   */
  url?: string | undefined;
  /**
   * Bearer token for TCP.
   * @default {none}
   */
  token?: string | undefined;
  /**
   * Looks up an environment variable.
   * @default {Deno.env.get; undefined without permission}
   */
  env?: ((name: string) => string | undefined) | undefined;
}

/** Options of one request. */
export interface RequestOptions {
  /** Aborts the request. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Options of {@linkcode DaemonTransport.send}. */
export interface SendOptions extends RequestOptions {
  method?: string;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  /** Error statuses that are returned instead of thrown. @default {none} */
  accept?: readonly number[];
}

/** Environment variable, which is absent without permission: the default socket needs none. */
function readableEnv(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}

/**
 * Finds the socket of the daemon: `$PLASM_SOCKET`, else the first default path that exists.
 *
 * @throws {PlasmError} `no-daemon`
 */
export function findSocket(env: (name: string) => string | undefined): string {
  const paths = socketPaths(env);
  for (const path of paths) {
    try {
      Deno.statSync(path);
      return path;
    } catch (error) {
      if (error instanceof Deno.errors.NotCapable) throw error;
      if (error instanceof Deno.errors.PermissionDenied) throw socketForbidden(path, error);
    }
  }
  throw new PlasmError("no-daemon", `Cannot reach daemon: no socket at ${paths.join(" or ")}`, {
    hint: "Start one with plasm daemon, or set --socket or PLASM_SOCKET to its socket",
    details: { sockets: paths },
  });
}

function socketForbidden(path: string, cause: unknown): PlasmError {
  return new PlasmError("no-daemon", `Permission denied on ${path}`, {
    hint: "Run sudo adduser $USER plasm, then log in again",
    cause,
  });
}

/** Sends requests to one daemon. */
export class DaemonTransport implements Disposable {
  readonly #base: string;
  readonly #where: string;
  readonly #client: Deno.HttpClient | undefined;
  readonly #connect: () => Promise<Deno.Conn>;
  readonly #headers: Record<string, string>;
  readonly #silence = new SilenceWatch(() => this.#probe());

  /** @throws {PlasmError} `no-daemon` if there is no socket */
  constructor(address: DaemonAddress = {}) {
    const { url, token, env = readableEnv } = address;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    if (url !== undefined) {
      this.#base = url.replace(/\/$/, "");
      this.#where = this.#base;
      const { hostname, port } = new URL(this.#base);
      this.#connect = () =>
        Deno.connect({ hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) });
    } else {
      const path = address.socket ?? findSocket(env);
      // Deno 2.9 resolves the unused host name, and an unknown name blocks a thread for seconds.
      this.#base = "http://localhost";
      this.#where = path;
      this.#client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
      this.#connect = () => Deno.connect({ transport: "unix", path });
    }
  }

  /**
   * Sends a request. The caller reads the body of the response.
   *
   * @throws {PlasmError} The daemon's error; `no-daemon` if it does not respond; `interrupted`
   */
  async send(path: string, options: SendOptions = {}): Promise<Response> {
    const { method = "GET", json, body, headers = {}, signal } = options;
    const type: Record<string, string> = json === undefined
      ? {}
      : { "content-type": "application/json" };
    let response: Response;
    const silent = new AbortController();
    try {
      const fetching = fetch(this.#base + path, {
        method,
        headers: { ...this.#headers, ...type, ...headers },
        ...(json === undefined
          ? body === undefined ? {} : { body }
          : { body: JSON.stringify(json) }),
        ...(this.#client === undefined ? {} : { client: this.#client }),
        signal: signal === undefined ? silent.signal : AbortSignal.any([signal, silent.signal]),
      });
      response = await this.answered(fetching, signal);
    } catch (error) {
      silent.abort();
      throw this.lost(error, signal);
    }
    if (response.ok || options.accept?.includes(response.status)) return response;
    try {
      throw await readError(response);
    } catch (error) {
      throw this.lost(error, signal);
    }
  }

  /**
   * Sends a request and reads the body of the response.
   *
   * @throws {PlasmError} as {@linkcode send}
   */
  async read<T>(
    path: string,
    readBody: (response: Response) => Promise<T>,
    options: SendOptions = {},
  ): Promise<T> {
    const response = await this.send(path, options);
    try {
      return await this.answered(readBody(response), options.signal);
    } catch (error) {
      throw this.lost(error, options.signal);
    }
  }

  /**
   * Body of a response, read while the daemon answers: fails with PlasmErrors only, also when the signal aborts. In Deno
   * the signal of `fetch` does not reach the body of a response any more once memory has been collected.
   */
  translated(
    body: ReadableStream<Uint8Array<ArrayBuffer>>,
    signal: AbortSignal | undefined,
  ): ReadableStream<Uint8Array<ArrayBuffer>> {
    const reader = body.getReader();
    return new ReadableStream({
      pull: async (controller) => {
        try {
          const { done, value } = await this.answered(reader.read(), signal);
          if (done) controller.close();
          else controller.enqueue(value);
        } catch (error) {
          controller.error(this.lost(error, signal));
          await reader.cancel().catch(() => {}); // broken
        }
      },
      cancel: (reason) => reader.cancel(reason),
    }, { highWaterMark: 0 });
  }

  /**
   * Sends a request and reads a JSON response.
   *
   * @throws {PlasmError} as {@linkcode send}; `protocol` if the response is not JSON
   */
  async json<T>(path: string, options: SendOptions = {}): Promise<T> {
    return await this.read(path, async (response) => {
      try {
        return await response.json() as T;
      } catch (error) {
        if (!(error instanceof SyntaxError)) throw error;
        throw new PlasmError("protocol", `Cannot read response of ${path}: it is not JSON`);
      }
    }, options);
  }

  /**
   * Posts JSON on a new connection and upgrades it to `protocol` (status 101). The connection is closed when the signal aborts.
   *
   * @throws {PlasmError} as {@linkcode send}; `protocol` if the response is neither 101 nor an error
   */
  async upgrade(
    path: string,
    options: { json: unknown; protocol: string; signal: AbortSignal },
  ): Promise<RawResponse & { conn: Deno.Conn }> {
    const { json, protocol, signal } = options;
    let conn: Deno.Conn | undefined;
    const close = (): void => {
      try {
        conn?.close();
      } catch { /* closed before */ }
    };
    signal.addEventListener("abort", close, { once: true });
    try {
      conn = await this.#connect();
      signal.throwIfAborted();
      const headers = { host: new URL(this.#base).host, ...this.#headers };
      await sendUpgrade(conn, { path, protocol, json, headers });
      const response = await this.answered(readRawResponse(conn));
      if (response.status === 101) return { ...response, conn };
      throw await readError(await readRawBody(conn, response));
    } catch (error) {
      close();
      throw this.lost(error, signal);
    }
  }

  /**
   * Waits for the daemon.
   *
   * @throws {PlasmError} `busy` if it accepts a connection and answers nothing on it; the signal's reason
   */
  answered<T>(waiting: Promise<T>, signal?: AbortSignal): Promise<T> {
    const answered = this.#silence.answered(waiting);
    return signal === undefined ? answered : abortable(answered, { signal });
  }

  /**
   * Sends a GET request on a new connection and yields the body of the response in parts, each of which is overwritten
   * when the next is requested: the client spends a third less time on a large body than with `fetch`.
   *
   * @throws {PlasmError} as {@linkcode send}
   */
  async *download(
    path: string,
    { signal }: RequestOptions = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    let conn: Deno.Conn | undefined;
    const close = (): void => {
      try {
        conn?.close();
      } catch { /* closed before */ }
    };
    signal?.addEventListener("abort", close, { once: true });
    try {
      conn = await this.#connect();
      signal?.throwIfAborted();
      const headers = { host: new URL(this.#base).host, ...this.#headers };
      const fields = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
      // In HTTP/1.0 a body of unknown length has no chunks: it ends with the connection.
      const head = `GET ${path} HTTP/1.0\r\n${fields.join("")}\r\n`;
      await writeAll(conn, new TextEncoder().encode(head));
      const response = await this.answered(readRawResponse(conn), signal);
      if (response.status !== 200) throw await readError(await readRawBody(conn, response));
      if (response.headers.has("transfer-encoding")) throw malformed("its body is encoded");
      const length = response.headers.get("content-length");
      const buffer = new Uint8Array(DOWNLOAD_PART_BYTES);
      let part = response.rest;
      for (let left = Number(length ?? Infinity); left > 0;) {
        left -= part.length;
        if (part.length > 0) yield part;
        if (left <= 0) return;
        const count = await this.answered(conn.read(buffer), signal);
        if (count === null && length === null) return;
        if (count === null) throw new Deno.errors.UnexpectedEof("the connection ended");
        part = buffer.subarray(0, count);
      }
    } catch (error) {
      throw this.lost(error, signal);
    } finally {
      signal?.removeEventListener("abort", close);
      close();
    }
  }

  async #probe(): Promise<void> {
    const signal = AbortSignal.timeout(PROBE_MS);
    try {
      const response = await fetch(`${this.#base}/version`, {
        headers: this.#headers,
        ...(this.#client === undefined ? {} : { client: this.#client }),
        signal,
      });
      await response.body?.cancel();
    } catch {
      // Any other error is that of the connection, on which the caller waits.
      if (signal.aborted) throw this.#silent();
    }
  }

  #silent(cause?: unknown): PlasmError {
    return new PlasmError("busy", `The daemon at ${this.#where} accepts but does not answer`, {
      hint: "Check whether it is stopped or overloaded: ps -o pid,stat,args -C plasm",
      details: { silent: true },
      cause,
    });
  }

  /** Error of a connection that failed or broke. */
  lost(error: unknown, signal: AbortSignal | undefined): PlasmError {
    if (error instanceof PlasmError) return error;
    if (signal?.aborted) return abortError(signal);
    const reason = reasonOf(error);
    // The queue of connections that the daemon has not accepted is full.
    if (/^resource temporarily unavailable/i.test(reason)) return this.#silent(error);
    if (/^permission denied/i.test(reason)) {
      return socketForbidden(this.#where, error);
    }
    return new PlasmError("no-daemon", `Cannot reach daemon at ${this.#where}: ${reason}`, {
      hint: "Run plasm doctor, or start a daemon with plasm daemon",
      cause: error,
    });
  }

  /** Closes pooled connections. */
  [Symbol.dispose](): void {
    this.#silence[Symbol.dispose]();
    this.#client?.close();
  }
}

/** Reason of a connection error: that of the operating system, without what `fetch` and Deno add to it. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.cause instanceof Error) return reasonOf(error.cause);
  return error.message.replace(/^.*client error \(Connect\): /s, "").replace(
    / \(os error \d+\)$/,
    "",
  );
}

async function readError(response: Response): Promise<PlasmError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error?: JsonValue };
    if (error !== undefined) return PlasmError.fromJSON(error);
  } catch { /* reported below */ }
  if (response.status === 404) {
    return new PlasmError("not-found", "The daemon does not know this resource");
  }
  return new PlasmError(
    "protocol",
    `Cannot read response: HTTP ${response.status} without an error`,
  );
}

/** Options of {@linkcode sendUpgrade}. */
export interface UpgradeRequest {
  path: string;
  /** Protocol to upgrade to. */
  protocol: string;
  json: unknown;
  headers: Readonly<Record<string, string>>;
}

/** Head of a response, and the bytes read behind it. */
export interface RawResponse {
  status: number;
  headers: Headers;
  rest: Uint8Array;
}

function malformed(why: string): PlasmError {
  return new PlasmError("protocol", `Cannot read response: ${why}`);
}

/** Sends an upgrade request on a raw connection, which `fetch` cannot return. */
export async function sendUpgrade(conn: Deno.Conn, request: UpgradeRequest): Promise<void> {
  const { path, protocol, json, headers } = request;
  const encoder = new TextEncoder();
  const body = encoder.encode(JSON.stringify(json));
  const head = [
    `POST ${path} HTTP/1.1`,
    ...Object.entries({
      ...headers,
      "connection": "Upgrade",
      "upgrade": protocol,
      "content-type": "application/json",
      "content-length": body.length,
    }).map(([name, value]) => `${name}: ${value}`),
  ];
  await writeAll(conn, encoder.encode(`${head.join("\r\n")}\r\n\r\n`));
  await writeAll(conn, body);
}

/**
 * Reads the head of the response to a request on a raw connection.
 *
 * @throws {PlasmError} `protocol`
 */
export async function readRawResponse(conn: Deno.Conn): Promise<RawResponse> {
  const buffer = new Uint8Array(MAX_HEAD_BYTES);
  let text = "";
  let size = 0;
  let end: number;
  while ((end = text.indexOf("\r\n\r\n")) < 0) {
    if (size === MAX_HEAD_BYTES) throw malformed(`its head has more than ${MAX_HEAD_BYTES} bytes`);
    const count = await conn.read(buffer.subarray(size));
    if (count === null) throw new Deno.errors.UnexpectedEof("the connection ended");
    size += count;
    text = new TextDecoder("latin1").decode(buffer.subarray(0, size));
  }
  const [line = "", ...fields] = text.slice(0, end).split("\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3})( |$)/.exec(line)?.[1] ?? NaN);
  if (Number.isNaN(status)) throw malformed("its first line is not HTTP/1.1");
  const headers = new Headers();
  for (const field of fields) {
    const colon = field.indexOf(":");
    try {
      headers.append(field.slice(0, colon), field.slice(colon + 1).trim());
    } catch {
      throw malformed("a header field is malformed");
    }
  }
  return { status, headers, rest: buffer.slice(end + 4, size) };
}

/** Reads the body of a response that is no upgrade. */
async function readRawBody(conn: Deno.Conn, response: RawResponse): Promise<Response> {
  const { status, headers, rest } = response;
  const length = Number(headers.get("content-length") ?? NaN);
  if (!(length <= MAX_BODY_BYTES)) {
    throw malformed(`its body has no length, or more than ${MAX_BODY_BYTES} bytes`);
  }
  const body = new Uint8Array(length);
  body.set(rest.subarray(0, length));
  for (let at = Math.min(rest.length, length); at < length;) {
    const count = await conn.read(body.subarray(at));
    if (count === null) throw malformed("it ends within its body");
    at += count;
  }
  return new Response(body, { status: status < 200 ? 500 : status, headers });
}
