/**
 * HTTP to a daemon over its unix socket, or over loopback TCP with a token.
 * @module
 */
import { socketPaths } from "../core/mod.ts";
import { type JsonValue, PlasmError } from "../core/errors/mod.ts";
import { bodyOfAnswer, readUpgradeAnswer, sendUpgrade, type UpgradeAnswer } from "./upgrade.ts";
import type { LinesOptions } from "../util/mod.ts";

/** Longest line of an answer: an event carries at most 64 KiB of output in base64. */
const MAX_LINE_LENGTH = 1024 * 1024;

/** Bounds of the lines that a daemon may send. */
export const ANSWER_LINES: LinesOptions = {
  maxLength: MAX_LINE_LENGTH,
  tooLong: () =>
    new PlasmError(
      "protocol",
      `Cannot read answer: a line has more than ${MAX_LINE_LENGTH} characters`,
    ),
};

/** Address of a daemon. */
export interface DaemonAddress {
  /**
   * Path of its unix socket.
   * @default {$PLASM_SOCKET, else the first default path that exists}
   */
  socket?: string | undefined;
  /**
   * Its URL on loopback TCP, such as `http://127.0.0.1:7433`, in place of a socket.
   * @default {the socket}
   */
  url?: string | undefined;
  /**
   * The bearer token, for TCP.
   * @default {none}
   */
  token?: string | undefined;
  /**
   * Looks up an environment variable.
   * @default {Deno.env.get}
   */
  env?: ((name: string) => string | undefined) | undefined;
}

/** Options of one request. */
export interface RequestOptions {
  /** Ends the request. @default {never} */
  signal?: AbortSignal | undefined;
}

/** A request. */
export interface Outgoing extends RequestOptions {
  method?: string;
  json?: unknown;
  body?: BodyInit;
  headers?: Record<string, string>;
  /** Error statuses that are returned instead of thrown. @default {none} */
  accept?: readonly number[];
}

function findSocket(env: (name: string) => string | undefined): string {
  const paths = socketPaths(env);
  for (const path of paths) {
    try {
      Deno.statSync(path);
      return path;
    } catch { /* the next, then */ }
  }
  throw new PlasmError("no-daemon", `Cannot reach daemon: no socket at ${paths.join(" or ")}`, {
    hint: "Start one with plasm daemon, or name its socket with --socket or PLASM_SOCKET",
    details: { sockets: paths },
  });
}

/** Requests to one daemon. */
export class DaemonTransport implements Disposable {
  readonly #base: string;
  readonly #where: string;
  readonly #client: Deno.HttpClient | undefined;
  readonly #connect: () => Promise<Deno.Conn>;
  readonly #headers: Record<string, string>;

  /** @throws {PlasmError} `no-daemon` when there is no socket */
  constructor(address: DaemonAddress = {}) {
    const { url, token, env = (name) => Deno.env.get(name) } = address;
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
    if (url !== undefined) {
      this.#base = url.replace(/\/$/, "");
      this.#where = this.#base;
      const { hostname, port } = new URL(this.#base);
      this.#connect = () =>
        Deno.connect({ hostname: hostname.replace(/^\[|\]$/g, ""), port: Number(port || 80) });
    } else {
      const path = address.socket ?? findSocket(env);
      // Deno 2.9 resolves the host name although it is not used; an unknown name blocks a thread for
      // seconds.
      this.#base = "http://localhost";
      this.#where = path;
      this.#client = Deno.createHttpClient({ proxy: { transport: "unix", path } });
      this.#connect = () => Deno.connect({ transport: "unix", path });
    }
  }

  /**
   * Sends a request; the body of the response is not read.
   *
   * @throws {PlasmError} The daemon's own error; `no-daemon` when it does not answer; `interrupted`
   */
  async send(path: string, options: Outgoing = {}): Promise<Response> {
    const { method = "GET", json, body, headers = {}, signal } = options;
    const type: Record<string, string> = json === undefined
      ? {}
      : { "content-type": "application/json" };
    let response: Response;
    try {
      response = await fetch(this.#base + path, {
        method,
        headers: { ...this.#headers, ...type, ...headers },
        ...(json === undefined
          ? body === undefined ? {} : { body }
          : { body: JSON.stringify(json) }),
        ...(this.#client === undefined ? {} : { client: this.#client }),
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      throw this.lost(error, signal);
    }
    if (response.ok || options.accept?.includes(response.status)) return response;
    throw await readError(response);
  }

  /**
   * Sends a request and reads a JSON response.
   *
   * @throws {PlasmError} as {@linkcode send}; `protocol` when the answer is not JSON
   */
  async json<T>(path: string, options: Outgoing = {}): Promise<T> {
    const response = await this.send(path, options);
    try {
      return await response.json() as T;
    } catch (error) {
      if (error instanceof SyntaxError) {
        throw new PlasmError("protocol", `Cannot read answer to ${path}: it is not JSON`);
      }
      throw this.lost(error, options.signal);
    }
  }

  /**
   * Posts JSON on a new connection and upgrades it to `protocol` (status 101). The connection is closed when the signal aborts.
   *
   * @throws {PlasmError} as {@linkcode send}; `protocol` when the answer is neither 101 nor an error
   */
  async upgrade(
    path: string,
    options: { json: unknown; protocol: string; signal: AbortSignal },
  ): Promise<UpgradeAnswer & { conn: Deno.Conn }> {
    const { json, protocol, signal } = options;
    let conn: Deno.Conn | undefined;
    const close = (): void => {
      try {
        conn?.close();
      } catch { /* it was closed before */ }
    };
    signal.addEventListener("abort", close, { once: true });
    try {
      conn = await this.#connect();
      signal.throwIfAborted();
      const headers = { host: new URL(this.#base).host, ...this.#headers };
      await sendUpgrade(conn, { path, protocol, json, headers });
      const answer = await readUpgradeAnswer(conn);
      if (answer.status === 101) return { ...answer, conn };
      throw await readError(await bodyOfAnswer(conn, answer));
    } catch (error) {
      close();
      throw this.lost(error, signal);
    }
  }

  /** Error of a connection that failed or broke. */
  lost(error: unknown, signal: AbortSignal | undefined): PlasmError {
    if (error instanceof PlasmError) return error;
    if (signal?.aborted) {
      return new PlasmError("interrupted", "Stopped: the caller asked for it", { cause: error });
    }
    const reason = error instanceof Error ? rootCause(error).message : String(error);
    return new PlasmError("no-daemon", `Cannot reach daemon at ${this.#where}: ${reason}`, {
      hint: "See whether plasm daemon runs, and whether you are in its group",
      cause: error,
    });
  }

  /** Closes pooled connections. */
  [Symbol.dispose](): void {
    this.#client?.close();
  }
}

function rootCause(error: Error): Error {
  return error.cause instanceof Error ? rootCause(error.cause) : error;
}

async function readError(response: Response): Promise<PlasmError> {
  const text = await response.text();
  try {
    const { error } = JSON.parse(text) as { error?: JsonValue };
    if (error !== undefined) return PlasmError.fromJSON(error);
  } catch { /* told below */ }
  if (response.status === 404) return new PlasmError("not-found", "There is no such thing");
  return new PlasmError("protocol", `Cannot read answer: HTTP ${response.status} without an error`);
}
