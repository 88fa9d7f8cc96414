/**
 * Serves the API on the unix socket and, when configured, on loopback TCP.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import type { Config } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { createApi } from "./app.ts";
import type { ApiContext } from "./api_context.ts";
import { type ApiConnectionLimits, ConnectionGuard } from "./connection_guard.ts";
import { discardDamagedToken, loadOrCreateToken, type TcpGuardOptions } from "./tcp_guard.ts";
import { checkSocketPath, listenOnSocket } from "./unix_socket.ts";

/** Options of {@linkcode ApiServer.start}. */
export interface ServerOptions {
  /** Where clients find the API. */
  socket: string;
  /** The state directory, in which the inner sockets lie. */
  stateDir: string;
  config: Config;
  log: Logger;
  /** @default {the limits of ConnectionGuard} */
  connectionLimits?: ApiConnectionLimits | undefined;
  /** Serves connections that ask for an upgrade. */
  upgrade: ApiUpgrade;
}

/** Connections that leave HTTP by an upgrade. */
export interface ApiUpgrade {
  /** First bytes of such a connection. */
  start: Uint8Array;
  /** Serves one until it ends and closes it. `guard` checks requests on TCP. Never throws. */
  serve: (
    conn: Deno.Conn,
    first: Uint8Array,
    guard: (() => TcpGuardOptions) | undefined,
  ) => Promise<void>;
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
  upgrade: ApiUpgrade;
  guard?: () => TcpGuardOptions;
  remove?: () => void;
}

function startListener(listener: Deno.Listener, options: ApiListenerOptions): ApiListener {
  const { context, log, inner, connectionLimits, guard, remove = () => {} } = options;
  const { start, serve } = options.upgrade;
  const handler = createApi(context, { log, guard });
  // The inner socket is unreachable for other users: its directory is private.
  const http = Deno.serve({ path: inner, onListen: () => {} }, handler);
  const upgrade = {
    start,
    serve: (conn: Deno.Conn, first: Uint8Array) => serve(conn, first, guard),
  };
  const connectionGuard = new ConnectionGuard(listener, inner, { ...connectionLimits, upgrade });
  return { connectionGuard, http, remove };
}

function parseListen(listen: string): { hostname: string; port: number } {
  const at = listen.lastIndexOf(":");
  const port = Number(listen.slice(at + 1));
  if (port > 65535) {
    throw new PlasmError("bad-config", `Cannot listen on ${listen}: ports end at 65535`);
  }
  return { hostname: listen.slice(0, at).replace(/^\[|\]$/g, ""), port };
}

/** The running API. */
export class ApiServer {
  readonly #listeners: ApiListener[];
  /** Path of the unix socket. */
  readonly socket: string;
  /** Where the API listens on TCP, if it does. */
  readonly tcp: { hostname: string; port: number; token: string } | undefined;

  private constructor(listeners: ApiListener[], socket: string, tcp: ApiServer["tcp"]) {
    this.#listeners = listeners;
    this.socket = socket;
    this.tcp = tcp;
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
    try {
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
        const guard = () => ({
          token,
          port,
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
      return new ApiServer(listeners, socket, tcp);
    } catch (error) {
      await Promise.all(listeners.map(closeListener));
      if (error instanceof PlasmError) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      throw new PlasmError("state", `Cannot listen: ${reason}`, { cause: error });
    }
  }

  /** Connections that are open. */
  get connections(): number {
    return this.#listeners.reduce(
      (sum, { connectionGuard }) => sum + connectionGuard.connections,
      0,
    );
  }

  /** Stops accepting connections and closes once pending responses end or CLOSE_MS has passed. */
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
