/**
 * TCP on Deno's own sockets. libp2p's transport rests on `node:net`, which is ten times slower in Deno and hangs on
 * long streams in some versions (docs/adr/0003).
 *
 * @module
 */
import type { Transport } from "@libp2p/interface";
import { ReadBuffer, writeAll } from "../../util/mod.ts";
import { delay } from "../../util/async/mod.ts";
import type { HandshakeLimiter } from "../access/handshake_limiter.ts";
import { type SocketAddress, tcpAddress } from "../addresses.ts";
import {
  type AcceptedPipe,
  type BytePipe,
  type PipeServer,
  SocketTransport,
  type TransportComponents,
  type TransportOptions,
} from "./socket_transport.ts";

/** Pause after a failed accept, in milliseconds; without it the loop spins until a file descriptor is free. */
const ACCEPT_RETRY_MS = 100;

/** TCP transport for libp2p's configuration: `/ip4|ip6|dns…/…/tcp/…`. */
export function tcp(
  options: TransportOptions = {},
): (components: TransportComponents) => Transport {
  return (components) =>
    new SocketTransport(components, { ...options, name: "tcp", parse: tcpAddress, connect, bind });
}

async function connect(
  { hostname, port }: SocketAddress,
  signal: AbortSignal,
): Promise<BytePipe> {
  const socket = await Deno.connect({ hostname, port, signal }).catch((error) => {
    signal.throwIfAborted();
    throw error;
  });
  if (signal.aborted) {
    socket.close();
    signal.throwIfAborted();
  }
  return tcpPipe(socket);
}

/** Wraps a TCP socket and takes ownership of it. */
function tcpPipe(socket: Deno.TcpConn): BytePipe {
  const buffer = new ReadBuffer();
  let open = true;
  // Yamux sends small frames that must not wait; keep-alive detects vanished peers.
  socket.setNoDelay(true);
  socket.setKeepAlive(true);
  return {
    async read() {
      const { space } = buffer;
      const count = await socket.read(space);
      return count === null ? null : buffer.take(space.subarray(0, count));
    },
    write: (data) => writeAll(socket, data),
    finish: () => socket.closeWrite(),
    destroy() {
      if (!open) return;
      open = false;
      socket.close();
    },
  };
}

function bind({ hostname, port }: SocketAddress): PipeServer {
  const listener = Deno.listen({ hostname, port });
  const closing = new AbortController();
  const { signal } = closing;
  return {
    address: listener.addr as Deno.NetAddr,
    async accept(handler, handshakes) {
      while (!signal.aborted) {
        let socket: Deno.TcpConn;
        try {
          socket = await listener.accept();
        } catch {
          // EMFILE and the like are temporary.
          await delay(ACCEPT_RETRY_MS, { signal });
          continue;
        }
        const accepted = wrap(socket, handshakes);
        if (accepted !== null) handler(accepted);
      }
    },
    close() {
      if (signal.aborted) return;
      closing.abort();
      listener.close();
    },
  };
}

/** Returns null for a socket that was reset before its setup or exceeds the limit of handshakes. */
function wrap(socket: Deno.TcpConn, handshakes: HandshakeLimiter): AcceptedPipe | null {
  try {
    const remote = socket.remoteAddr as Deno.NetAddr;
    const pipe = tcpPipe(socket);
    const endHandshake = handshakes.enter(remote.hostname, pipe.destroy);
    if (endHandshake !== undefined) return { pipe, remote, endHandshake };
    pipe.destroy();
    return null;
  } catch {
    socket.close();
    return null;
  }
}
