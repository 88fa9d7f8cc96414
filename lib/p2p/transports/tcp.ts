/**
 * TCP on Deno's own sockets. libp2p's own transport rests on node:net, which is ten times slower
 * here and hangs on long streams in some Deno versions.
 * @module
 */
import {
  type ComponentLogger,
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  serviceCapabilities,
  type Transport,
  transportSymbol,
} from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { tcpAddress } from "../addresses.ts";
import type { AcceptedPipe, BytePipe, PipeServer } from "./socket_connection.ts";
import { SocketConnection } from "./socket_connection.ts";
import { PipeListener } from "./socket_listener.ts";
import { ReadBuffer } from "../../util/mod.ts";
import { sleep } from "../../util/async/mod.ts";

/** How long accepting rests after the system ran out of file descriptors. */
const ACCEPT_REST_MS = 100;

/** What libp2p gives a transport. */
export interface TransportComponents {
  logger: ComponentLogger;
}

/** A libp2p transport for `/ip4|ip6|dns…/…/tcp/…`. */
export class TcpTransport implements Transport {
  readonly [transportSymbol] = true;
  readonly [Symbol.toStringTag] = "plasm-tcp";
  readonly [serviceCapabilities]: string[] = ["@libp2p/transport"];
  #components: TransportComponents;

  constructor(components: TransportComponents) {
    this.#components = components;
  }

  /**
   * @throws {DOMException} where the signal is or gets aborted: its reason
   * @throws {Deno.errors.ConnectionRefused} If nothing listens there; other errors of the system pass through
   */
  async dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const target = tcpAddress(address);
    if (target === null) throw new TypeError(`Cannot dial: not a TCP address: ${address}`);
    const { signal } = options;
    signal.throwIfAborted();
    const socket = await connect(target, signal);
    const connection = new SocketConnection({
      pipe: tcpPipe(socket),
      remoteAddr: address,
      direction: "outbound",
      log: this.#components.logger.forComponent("plasm:tcp:connection"),
    });
    try {
      return await options.upgrader.upgradeOutbound(connection, options);
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)));
      throw error;
    }
  }

  createListener({ upgrader }: CreateListenerOptions): Listener {
    return new PipeListener({
      upgrader,
      logger: this.#components.logger,
      layer: "tcp",
      bind: tcpServer,
    });
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => tcpAddress(address) !== null);
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return this.listenFilter(addresses);
  }
}

/** Makes the TCP transport, for libp2p's configuration. */
export function tcp(): (components: TransportComponents) => Transport {
  return (components) => new TcpTransport(components);
}

async function connect(
  { hostname, port }: { hostname: string; port: number },
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  const socket = await Deno.connect({ hostname, port, signal }).catch((error) => {
    signal.throwIfAborted();
    throw error;
  });
  if (signal.aborted) {
    socket.close();
    signal.throwIfAborted();
  }
  return socket;
}

/** Wraps a TCP socket, which it then owns. */
export function tcpPipe(socket: Deno.TcpConn): BytePipe {
  const buffer = new ReadBuffer();
  let open = true;
  // Yamux wants its small frames out at once; keep-alive finds peers that vanished.
  socket.setNoDelay(true);
  socket.setKeepAlive(true);
  return {
    async read() {
      const { space } = buffer;
      const count = await socket.read(space);
      return count === null ? null : buffer.take(space.subarray(0, count));
    },
    async write(data) {
      let written = 0;
      while (written < data.byteLength) written += await socket.write(data.subarray(written));
    },
    finish: () => socket.closeWrite(),
    destroy() {
      if (!open) return;
      open = false;
      socket.close();
    },
  };
}

// deno-lint-ignore require-await -- what listen() throws must reject
async function tcpServer(address: Multiaddr): Promise<PipeServer> {
  const target = tcpAddress(address);
  if (target === null) throw new TypeError(`Cannot listen: not a TCP address: ${address}`);
  const listener = Deno.listen({ hostname: target.hostname, port: target.port });
  let open = true;
  const rest = new AbortController();
  return {
    address: listener.addr as Deno.NetAddr,
    async accept(handler) {
      while (open) {
        let socket: Deno.TcpConn;
        try {
          socket = await listener.accept();
        } catch {
          // EMFILE and the like pass; without a rest this would spin until they do.
          if (open) await sleep(ACCEPT_REST_MS, rest.signal);
          continue;
        }
        const accepted = wrap(socket);
        if (accepted !== null) handler(accepted);
      }
    },
    close() {
      if (!open) return;
      open = false;
      rest.abort();
      listener.close();
    },
  };
}

/** A socket reset before it could be set up is no connection. */
function wrap(socket: Deno.TcpConn): AcceptedPipe | null {
  try {
    return { pipe: tcpPipe(socket), remote: socket.remoteAddr as Deno.NetAddr };
  } catch {
    socket.close();
    return null;
  }
}
