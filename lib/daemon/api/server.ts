/**
 * Serves the API on the Unix socket and, if configured, on loopback TCP.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import type { ListeningJson } from "../../api/mod.ts";
import type { Config } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { removeStaleFiles, STALE_SOCKET_FILES } from "../state_dir.ts";
import type { ApiContext } from "./api_context.ts";
import { isEventStream, openArchive } from "./job_routes.ts";
import { metricsResponse } from "./node_routes.ts";
import { createApi } from "./routes.ts";
import { type ApiConnectionLimits, ConnectionGuard } from "./connection_guard.ts";
import type { UpgradeRoute } from "./guarded_connection.ts";
import type { RequestHead } from "./request_reader.ts";
import { errorResponse } from "./responses.ts";
import { PageServer } from "../web/mod.ts";
import {
  checkTcpRequest,
  checkToken,
  discardDamagedToken,
  loadOrCreateToken,
  type TcpGuard,
  type TcpRequest,
} from "./tcp_guard.ts";

/** Options of {@linkcode ApiServer.start}. */
export interface ServerOptions {
  /** Path of the Unix socket. */
  socket: string;
  /** State directory; contains the inner sockets. */
  stateDir: string;
  config: Config;
  log: Logger;
  /** Limits on connections. @default {the limits of ConnectionGuard} */
  connectionLimits?: ApiConnectionLimits | undefined;
  /** Serves connections that request an upgrade. */
  upgrade: UpgradeRoute;
}

/** Grace period of pending responses when the server stops, in milliseconds. */
const CLOSE_MS = 1000;

interface ApiListener {
  connectionGuard: ConnectionGuard;
  http: Deno.HttpServer;
  remove: () => void;
}

interface ApiListenerOptions {
  context: ApiContext;
  log: Logger;
  inner: string;
  connectionLimits: ApiConnectionLimits | undefined;
  upgrade: UpgradeRoute;
  guard?: () => TcpGuard;
  remove?: () => void;
}

/** Reports whether a request is authorized: one for the page is served in either case. */
async function authorizeTcp(head: RequestHead, guard: TcpGuard): Promise<boolean> {
  const { pages } = guard;
  if (pages.isSignedIn(head)) return true;
  if (pages.isPagePath(head.target.split("?")[0]!)) return false;
  return await checkTcpRequest(head, guard);
}

function startListener(listener: Deno.Listener, options: ApiListenerOptions): ApiListener {
  const { context, log, inner, connectionLimits, upgrade, guard, remove = () => {} } = options;
  const handler = createApi(context, { log, guard });
  // The inner socket is unreachable for other users: its directory is private.
  const http = Deno.serve({ path: inner, onListen: () => {} }, handler);
  const authorize = guard && ((head: RequestHead) => authorizeTcp(head, guard()));
  const connectionGuard = new ConnectionGuard(listener, {
    ...connectionLimits,
    server: inner,
    authorize,
    upgrade,
    direct: (head) => {
      const archive = openArchive(context, head);
      if (archive !== undefined) log.debug("request", { method: head.method, path: head.target });
      return archive;
    },
    isEndless: isEventStream,
    onRefuse: (error, head) => {
      const path = head?.target.split("?")[0] ?? null;
      context.refusals.add(error, { method: head?.method ?? null, path });
      log.debug("request", { method: head?.method ?? null, path, status: error.httpStatus });
    },
  });
  return { connectionGuard, http, remove };
}

/** Handles requests on the address of the metrics: it serves them and nothing else. */
function metricsHandler(
  context: ApiContext,
  authorize: (request: Pick<TcpRequest, "headers">) => Promise<void>,
): Deno.ServeHandler {
  return async (request) => {
    const { method, url } = request;
    const { pathname } = new URL(url);
    try {
      // The connection guard checks the first request of a connection only.
      await authorize(request);
    } catch (error) {
      context.refusals.add(error, { method, path: pathname, listener: "metrics" });
      return errorResponse(error);
    }
    if (pathname !== "/metrics") {
      return errorResponse(
        new PlasmError("not-found", `Cannot serve request: no route ${pathname}`, {
          hint: "api.metrics.listen serves /metrics only",
        }),
      );
    }
    if (method !== "GET" && method !== "HEAD") {
      const message = `Cannot serve request: ${method} is not allowed on /metrics; use GET, HEAD`;
      const details = { allowed: "GET, HEAD" };
      return errorResponse(new PlasmError("method-not-allowed", message, { details }));
    }
    return metricsResponse(context);
  };
}

/** Starts the listener of the metrics for other machines. */
async function startMetrics(
  address: string,
  options: Pick<ServerOptions, "stateDir" | "config" | "log" | "connectionLimits"> & {
    context: ApiContext;
    inner: string;
  },
): Promise<ApiListener & { hostname: string; port: number; token: string }> {
  const { context, stateDir, config, log, inner, connectionLimits } = options;
  const own = `${stateDir}/metrics.token`;
  const tokenFile = config.api.metrics.token_file ?? own;
  if (tokenFile === own && await discardDamagedToken(own)) {
    log.error("token-damaged", { replaced: own });
  }
  const token = await loadOrCreateToken(tokenFile);
  const { hostname, port: asked } = parseListen(address);
  const listener = Deno.listen({ hostname, port: asked });
  const authorize = (request: Pick<TcpRequest, "headers">): Promise<void> =>
    checkToken(request, { token, source: "api.metrics.token_file" });
  const handler = metricsHandler(context, authorize);
  const http = Deno.serve({ path: inner, onListen: () => {} }, handler);
  const connectionGuard = new ConnectionGuard(listener, {
    ...connectionLimits,
    server: inner,
    authorize: async (head) => {
      await authorize(head);
      return true;
    },
    onRefuse: (error, head) => {
      const path = head?.target.split("?")[0] ?? null;
      context.refusals.add(error, { method: head?.method ?? null, path, listener: "metrics" });
    },
  });
  const { port } = listener.addr;
  return { connectionGuard, http, remove: () => {}, hostname, port, token };
}

function parseListen(listen: string): { hostname: string; port: number } {
  const at = listen.lastIndexOf(":");
  const port = Number(listen.slice(at + 1));
  if (port > 65535) {
    throw new PlasmError("bad-config", `Cannot listen on ${listen}: ports end at 65535`);
  }
  return { hostname: listen.slice(0, at).replace(/^\[|\]$/g, ""), port };
}

/** Formats an address as in the configuration; an IPv6 address has brackets. */
function hostAndPort({ hostname, port }: { hostname: string; port: number }): string {
  return hostname.includes(":") ? `[${hostname}]:${port}` : `${hostname}:${port}`;
}

/** The running API. */
export class ApiServer {
  readonly #listeners: ApiListener[];
  /** Path of the Unix socket. */
  readonly socket: string;
  /** Address and token of the API on TCP; `undefined` if it is not configured. */
  readonly tcp: { hostname: string; port: number; token: string } | undefined;

  /** Address and token of the metrics for other machines; `undefined` if it is not configured. */
  readonly metrics: ApiServer["tcp"];

  private constructor(
    listeners: ApiListener[],
    { socket, tcp, metrics }: Pick<ApiServer, "socket" | "tcp" | "metrics">,
  ) {
    this.#listeners = listeners;
    this.socket = socket;
    this.tcp = tcp;
    this.metrics = metrics;
  }

  /** The addresses, with the ports that the system chose. */
  get listening(): ListeningJson {
    const { socket, tcp, metrics } = this;
    return {
      socket,
      tcp: tcp === undefined ? null : hostAndPort(tcp),
      metrics: metrics === undefined ? null : hostAndPort(metrics),
    };
  }

  /**
   * Starts the API.
   *
   * @throws {PlasmError} `busy`, `state`, `bad-config`
   */
  static async start(context: ApiContext, options: ServerOptions): Promise<ApiServer> {
    const { socket, stateDir, config, log, connectionLimits, upgrade } = options;
    const dir = `${stateDir}/run`;
    checkSocketPath(`${dir}/unix.sock`);
    await Deno.remove(dir, { recursive: true }).catch(() => {}); // stale files of a killed process
    await Deno.mkdir(dir, { recursive: true, mode: 0o700 });
    const listeners: ApiListener[] = [];
    let tcp: ApiServer["tcp"];
    let metrics: ApiServer["metrics"];
    try {
      const address = config.api.metrics.listen;
      if (address !== null) {
        const started = await startMetrics(address, {
          ...options,
          context,
          inner: `${dir}/metrics.sock`,
        });
        listeners.push(started);
        const { hostname, port, token } = started;
        metrics = { hostname, port, token };
        log.info("metrics-listening", { address: hostAndPort(metrics) });
      }
      const { listen } = config.api.tcp;
      if (listen !== null) {
        const own = `${stateDir}/api.token`;
        const tokenFile = config.api.tcp.token_file ?? own;
        if (tokenFile === own && await discardDamagedToken(own)) {
          log.error("token-damaged", { replaced: own });
        }
        const token = await loadOrCreateToken(tokenFile);
        const { hostname, port: asked } = parseListen(listen);
        const listener = Deno.listen({ hostname, port: asked });
        const { port } = listener.addr;
        const pages = new PageServer({ port, signIn: { by: "form", token } });
        const guard = () => ({
          token,
          port,
          pages,
          allowedOrigins: context.config().api.tcp.allowed_origins,
        });
        const inner = `${dir}/tcp.sock`;
        listeners.push(
          startListener(listener, { context, log, inner, connectionLimits, upgrade, guard }),
        );
        tcp = { hostname, port, token };
      }
      const { listener, remove } = await listenOnSocket(socket);
      const inner = `${dir}/unix.sock`;
      listeners.push(
        startListener(listener, { context, log, inner, connectionLimits, upgrade, remove }),
      );
      return new ApiServer(listeners, { socket, tcp, metrics });
    } catch (error) {
      await Promise.all(listeners.map(closeListener));
      if (error instanceof PlasmError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new PlasmError("state", `Cannot listen: ${reason}`, { cause: error });
    }
  }

  /** Number of open connections. */
  get connections(): number {
    return this.#listeners.reduce(
      (sum, { connectionGuard }) => sum + connectionGuard.connections,
      0,
    );
  }

  /** Stops accepting connections, waits up to CLOSE_MS for pending responses, then closes all connections. */
  async close(): Promise<void> {
    await Promise.all(this.#listeners.map(closeListener));
  }
}

async function closeListener({ connectionGuard, http, remove }: ApiListener): Promise<void> {
  remove();
  connectionGuard.stopListening();
  // shutdown() waits for connections that only the guard can close.
  const timer = setTimeout(() => void connectionGuard.close(), CLOSE_MS);
  await Promise.all([http.shutdown(), connectionGuard.drain(CLOSE_MS)]);
  clearTimeout(timer);
  await connectionGuard.close();
}

/** Longest path of a Unix socket on Linux, in bytes: sizeof(sun_path) minus the terminating NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

function socketError(path: string, error: unknown): PlasmError {
  if (error instanceof PlasmError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new PlasmError("state", `Cannot listen on ${path}: ${reason}`, {
    hint: "Set another path with --socket or PLASM_SOCKET",
    cause: error,
  });
}

/**
 * Returns the directory of a socket; creates it if it is missing.
 *
 * @throws {PlasmError} `state`
 */
export async function socketDir(path: string): Promise<string> {
  const dir = path.slice(0, path.lastIndexOf("/")) || "/";
  try {
    await Deno.mkdir(dir, { recursive: true, mode: 0o750 });
    return dir;
  } catch (error) {
    throw socketError(path, error);
  }
}

async function checkNoListener(path: string): Promise<void> {
  try {
    (await Deno.connect({ transport: "unix", path })).close();
  } catch (error) {
    // The stale socket of a killed daemon may be replaced.
    if (error instanceof Deno.errors.ConnectionRefused) return;
    if (error instanceof Deno.errors.NotFound) return;
    throw socketError(path, error);
  }
  throw new PlasmError("busy", `Cannot listen on ${path}: another daemon listens there`, {
    hint: "Stop the other daemon or choose another socket",
  });
}

async function checkIsSocket(path: string): Promise<void> {
  const info = await Deno.lstat(path).catch(() => undefined);
  if (info !== undefined && info.isSocket !== true) {
    throw new PlasmError("state", `Cannot listen on ${path}: it exists and is not a socket`);
  }
}

/** Listener on a Unix socket. */
export interface SocketListener {
  listener: Deno.UnixListener;
  /** Deletes the socket unless another process has replaced it. */
  remove(): void;
}

/**
 * Checks the length of a socket's path.
 *
 * @throws {PlasmError} `state`
 */
export function checkSocketPath(path: string): void {
  const bytes = new TextEncoder().encode(path).length;
  if (bytes > MAX_SOCKET_PATH_BYTES) {
    throw new PlasmError(
      "state",
      `Cannot listen on ${path}: path has ${bytes} bytes, sockets allow ${MAX_SOCKET_PATH_BYTES}`,
      { hint: "Set a shorter path with --socket or PLASM_SOCKET" },
    );
  }
}

/**
 * Listens on a Unix socket with mode 0660 (owner and group); replaces a stale one.
 *
 * The socket is created in a directory of mode 0700 and renamed once its mode is set, so that its permissions never
 * depend on the umask.
 *
 * @throws {PlasmError} `busy` if a daemon listens there; `state`
 */
export async function listenOnSocket(path: string): Promise<SocketListener> {
  checkSocketPath(path);
  try {
    const parent = await socketDir(path);
    await checkIsSocket(path);
    await checkNoListener(path);
    removeStaleFiles(parent, STALE_SOCKET_FILES);
    const dir = await Deno.makeTempDir({ dir: parent, prefix: ".plasm-" });
    try {
      checkSocketPath(`${dir}/s`);
      const listener = Deno.listen({ transport: "unix", path: `${dir}/s` });
      await Deno.chmod(`${dir}/s`, 0o660);
      await Deno.rename(`${dir}/s`, path);
      const { ino } = await Deno.lstat(path);
      return { listener, remove: () => removeOwn(path, ino) };
    } finally {
      await Deno.remove(dir, { recursive: true });
    }
  } catch (error) {
    throw socketError(path, error);
  }
}

function removeOwn(path: string, ino: number | null): void {
  try {
    if (Deno.lstatSync(path).ino === ino) Deno.removeSync(path);
  } catch { /* already deleted */ }
}
