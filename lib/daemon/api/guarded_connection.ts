/**
 * Forwards the requests of one connection to the HTTP server, and its responses; closes a connection that makes no
 * progress.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { abortable, deadline, delay } from "../../util/async/mod.ts";
import { writeAll } from "../../util/mod.ts";
import { type RequestHead, RequestReader } from "./request_reader.ts";
import { encodeResponse, errorResponse } from "./responses.ts";
import { ResponseTracker } from "./response_tracker.ts";

/** Request whose connection leaves HTTP. */
export interface ReceivedUpgrade {
  head: RequestHead;
  /** Bytes received behind the head. */
  rest: Uint8Array;
}

/** Connections that bypass the HTTP server. */
export interface UpgradeRoute {
  /** Path of `POST` requests that do, as the first of their connection. */
  path: string;
  /** Serves a connection until it ends and closes it. Never throws. */
  serve: (conn: Deno.Conn, request: ReceivedUpgrade) => Promise<void>;
}

/**
 * Response that does not pass through the HTTP server, which would copy it three times more. It ends with its
 * connection.
 */
export interface DirectResponse {
  headers: Readonly<Record<string, string>>;
  /** Body; a chunk may be overwritten when the next is requested. */
  chunks: AsyncGenerator<Uint8Array, void, void>;
}

/**
 * Responds to the first request of a connection; `undefined` if the HTTP server responds.
 *
 * @throws {PlasmError} The error of its response
 */
export type DirectRoute = (head: RequestHead) => DirectResponse | undefined;

/** Options of a {@linkcode GuardedConnection}. */
export interface GuardedConnectionOptions {
  /** Idle window in milliseconds; see `ApiConnectionLimits`. */
  windowMs: number;
  /** Bytes that a client must send within a window in which it receives nothing. */
  leastBytes: number;
  /** Checks a request before any of it is forwarded. @throws {PlasmError} The error of its response. */
  admit: (head: RequestHead) => Promise<void>;
  /** Connects to the HTTP server. */
  connect: () => Promise<Deno.Conn>;
  /** Connections that bypass the HTTP server. @default {none} */
  upgrade?: UpgradeRoute | undefined;
  /** Responds without the HTTP server. @default {none} */
  direct?: DirectRoute | undefined;
  /** Reports whether the response for a target may have no end. @default {never} */
  isEndless?: ((target: string) => boolean) | undefined;
  /** Called with each error that is sent without the HTTP server. @default {nothing} */
  onRefuse?: ((error: PlasmError, head: RequestHead | undefined) => void) | undefined;
}

/** Size of a read, in bytes. */
const CHUNK_BYTES = 64 * 1024;

/** Time for which a client that received an early response may continue to send. */
const LINGER = { ms: 1000, error: (): Error => new Error("The client is still sending") };

/**
 * Silence after which an endless response is cut once the client has closed its sending side, in milliseconds: the
 * client has most likely disconnected.
 */
const QUIET_MS = 250;

function close(conn: Deno.Conn | undefined): void {
  try {
    conn?.close();
  } catch {
    // Already closed.
  }
}

/** One connection of a client. */
export class GuardedConnection {
  /** Start of the connection, in milliseconds as of `performance.now()`. */
  readonly openedAt: number = performance.now();
  readonly #client: Deno.Conn;
  readonly #options: GuardedConnectionOptions;
  readonly #requests: RequestReader;
  readonly #responses = new ResponseTracker();
  readonly #timer: ReturnType<typeof setInterval>;
  #server: Deno.Conn | undefined;
  #up = 0;
  #down = 0;
  #lastDown = 0;
  /** Head of the current request, once it has been read. */
  #head: RequestHead | undefined;
  /** Whether a part of a request has been forwarded, but not its end. */
  #isInRequest = false;
  /** Whether responses of the server are discarded. */
  #isRefused = false;
  #closed = false;
  /** Aborts when the server's side ends. */
  readonly #served = new AbortController();

  constructor(client: Deno.Conn, options: GuardedConnectionOptions) {
    this.#client = client;
    this.#options = options;
    this.#requests = new RequestReader(client);
    this.#timer = setInterval(() => {
      if (this.#down === 0 && this.#up < options.leastBytes) return this.close();
      this.#up = this.#down = 0;
    }, options.windowMs);
  }

  /** Serves the connection until it ends; never throws. */
  async run(): Promise<void> {
    const { upgrade, direct, admit, connect } = this.#options;
    try {
      const head = await this.#readHead();
      if (head === undefined) return;
      await admit(head);
      if (upgrade !== undefined && head.method === "POST" && head.target === upgrade.path) {
        clearInterval(this.#timer);
        return await upgrade.serve(this.#client, { head, rest: this.#requests.rest });
      }
      const response = direct?.(head);
      if (response !== undefined) return await this.#respond(response);
      const server = await connect();
      this.#server = server;
      if (this.#closed) return close(server);
      await this.#forward(head, server);
    } catch (error) {
      // Other errors: a side has disconnected.
      if (error instanceof PlasmError) await this.#refuse(error).catch(() => {});
    } finally {
      this.close();
    }
  }

  async #readHead(): Promise<RequestHead | undefined> {
    this.#head = undefined;
    return this.#head = await this.#requests.head();
  }

  async #forward(first: RequestHead, server: Deno.Conn): Promise<void> {
    const down = this.#forwardResponses(server);
    const up = this.#forwardRequests(first, server);
    for (const side of [down, up]) side.catch(() => {}); // reported by the race
    await Promise.race([down, up]);
    if (!this.#served.signal.aborted) return; // the client has ended and received everything
    // Closing while the client still sends would reset the connection before it reads the response.
    await this.#client.closeWrite();
    await deadline(up, LINGER).catch(() => {});
  }

  /** Forwards requests; resolves when the client has ended and received all responses. */
  async #forwardRequests(first: RequestHead, server: Deno.Conn): Promise<void> {
    const { admit } = this.#options;
    let head: RequestHead | undefined = first;
    let last = first;
    for (; head !== undefined; head = await this.#readHead()) {
      last = head;
      if (head !== first) await admit(head);
      this.#responses.expect(head.method);
      this.#isInRequest = true;
      for (let part; (part = await this.#requests.take()) !== undefined;) {
        this.#up += part.length;
        // The server closes its side early when it rejects a request; the client continues to send.
        if (!this.#served.signal.aborted) await writeAll(server, part).catch(() => {});
      }
      this.#isInRequest = false;
    }
    await this.#settle(last);
  }

  /** Waits for the responses to a client that has closed its sending side, which may still read. */
  async #settle({ target }: RequestHead): Promise<void> {
    const { signal } = this.#served;
    const settled = abortable(this.#responses.settled(), { signal });
    if (!this.#options.isEndless?.(target)) return await settled;
    const isQuiet = (): boolean =>
      this.#responses.pending === 1 && !this.#responses.isBetweenResponses &&
      performance.now() - this.#lastDown >= QUIET_MS;
    const ended = settled.then(() => true, () => true);
    while (!isQuiet()) {
      if (await Promise.race([ended, delay(QUIET_MS, { signal })])) return;
    }
  }

  /** Forwards responses until the server closes its side. */
  async #forwardResponses(server: Deno.Conn): Promise<void> {
    const buffer = new Uint8Array(CHUNK_BYTES);
    for (let size; (size = await server.read(buffer)) !== null;) {
      if (this.#isRefused) return;
      const bytes = buffer.subarray(0, size);
      await writeAll(this.#client, bytes);
      this.#down += size;
      this.#lastDown = performance.now();
      this.#responses.push(bytes);
    }
    this.#served.abort();
  }

  async #respond({ headers, chunks }: DirectResponse): Promise<void> {
    const fields = Object.entries({ ...headers, connection: "close" });
    const head = ["HTTP/1.1 200 OK", ...fields.map(([name, value]) => `${name}: ${value}`)];
    await writeAll(this.#client, new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`));
    for await (const chunk of chunks) {
      for (let at = 0; at < chunk.length;) {
        // On Deno 2.7 closing a connection does not end its pending write.
        const { signal } = this.#served;
        const size = await abortable(this.#client.write(chunk.subarray(at)), { signal });
        at += size;
        this.#down += size;
      }
    }
    await this.#end();
  }

  /** Ends the last response; closing while the client still sends would reset the connection before it reads it. */
  async #end(): Promise<void> {
    await this.#client.closeWrite();
    const unread = new Uint8Array(CHUNK_BYTES);
    const drain = async (): Promise<void> => {
      while (await this.#client.read(unread) !== null);
    };
    await deadline(drain(), LINGER);
  }

  /** Responds to a request that is not forwarded, or not completely, behind the responses to earlier ones. */
  async #refuse(error: PlasmError): Promise<void> {
    const own = this.#isInRequest ? 1 : 0;
    await abortable(this.#responses.settled(own), { signal: this.#served.signal });
    // The server may have responded before the end of the request.
    if (this.#responses.pending < own || !this.#responses.isBetweenResponses) return;
    this.#isRefused = true;
    this.#options.onRefuse?.(error, this.#head);
    close(this.#server);
    const response = errorResponse(error);
    await writeAll(this.#client, await encodeResponse(response, { method: this.#head?.method }));
    await this.#end();
  }

  /** Closes both sides. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    clearInterval(this.#timer);
    this.#served.abort();
    close(this.#client);
    close(this.#server);
  }
}
