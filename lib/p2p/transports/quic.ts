/**
 * QUIC on Deno's own endpoint: one bidirectional stream as a pipe of bytes, under the same Noise
 * and Yamux as TCP. See certificate.ts for what TLS is worth here, and address.ts for the name.
 * @module
 */
import {
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  serviceCapabilities,
  type Transport,
  transportSymbol,
} from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { quicAddress } from "./address.ts";
import type { PipeServer } from "./byte_pipe.ts";
import { CERTIFICATE, CERTIFICATE_KEY, SERVER_NAME } from "./certificate.ts";
import { SocketConnection } from "./connection.ts";
import { PipeListener } from "./listener.ts";
import { EndpointPool } from "./quic_endpoint.ts";
import { QUIC_RESET, quicPipe } from "./quic_pipe.ts";
import type { TransportComponents } from "./tcp.ts";

/** Not "libp2p": a standard peer that comes here is turned away in its handshake. */
const ALPN = ["plasm/1"];
/** A UDP port that swallows packets looks like a slow one; TCP is tried after this. */
const HANDSHAKE_TIMEOUT_MS = 4_000;
/** Handshakes under way at once; more are refused, so that a flood costs little. */
const MAX_HANDSHAKES = 128;
/** NATs forget a UDP mapping after 30 s (RFC 4787 asks for 120, few comply). */
const KEEP_ALIVE_MS = 5_000;
/** Three lost keep-alives and the other side is gone. It also ends dials that were given up. */
const MAX_IDLE_MS = 15_000;

const TRANSPORT_OPTIONS: Deno.QuicTransportOptions = {
  keepAliveInterval: KEEP_ALIVE_MS,
  maxIdleTimeout: MAX_IDLE_MS,
  maxConcurrentUnidirectionalStreams: 0,
  // BBR. The default (CUBIC) takes each lost packet for a full link: over 100 ms and 2 % of loss it moved
  // 20 MB in 200 s, this in 49 s. On loopback it is up to a third slower.
  congestionControl: "low-latency",
};

/** A libp2p transport for `/ip4|ip6|dns…/…/udp/…/quic`. */
export class QuicTransport implements Transport {
  readonly [transportSymbol] = true;
  readonly [Symbol.toStringTag] = "plasm-quic";
  readonly [serviceCapabilities]: string[] = ["@libp2p/transport"];
  #components: TransportComponents;
  #endpoints = new EndpointPool();

  constructor(components: TransportComponents) {
    this.#components = components;
  }

  /**
   * @throws {DOMException} where the signal is or gets aborted: its reason
   * @throws {Deno.errors.TimedOut} If no answer arrives within 4 s
   */
  async dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    options.signal.throwIfAborted();
    const { quic, release } = await this.#connect(address, options.signal);
    const pipe = await quic.createBidirectionalStream().then(
      (stream) => quicPipe({ quic, stream, release }),
      (error) => {
        quic.close(QUIC_RESET);
        release();
        throw error;
      },
    );
    const connection = new SocketConnection({
      pipe,
      remoteAddr: address,
      direction: "outbound",
      log: this.#components.logger.forComponent("plasm:quic:connection"),
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
      layer: "quic",
      bind: (address) => quicServer(address, this.#endpoints),
    });
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => quicAddress(address) !== null);
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return this.listenFilter(addresses);
  }

  async #connect(
    address: Multiaddr,
    signal: AbortSignal,
  ): Promise<{ quic: Deno.QuicConn; release: () => void }> {
    const target = quicAddress(address);
    if (target === null) throw new TypeError(`Cannot dial: not a QUIC address: ${address}`);
    const shared = this.#endpoints.dial(target.ipv6);
    const release = shared.share();
    const given = Promise.withResolvers<never>();
    const limit = setTimeout(() => {
      given.reject(new Deno.errors.TimedOut(`No QUIC answer in ${HANDSHAKE_TIMEOUT_MS} ms`));
    }, HANDSHAKE_TIMEOUT_MS);
    const onAbort = () => given.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    const dialed = Deno.connectQuic<false>({
      ...TRANSPORT_OPTIONS,
      maxConcurrentBidirectionalStreams: 0,
      endpoint: shared.endpoint,
      hostname: target.hostname,
      port: target.port,
      serverName: SERVER_NAME,
      caCerts: [CERTIFICATE],
      alpnProtocols: ALPN,
    });
    let abandoned = true;
    try {
      const quic = await Promise.race([dialed, given.promise]);
      abandoned = false;
      return { quic, release };
    } catch (error) {
      release();
      throw error;
    } finally {
      clearTimeout(limit);
      signal.removeEventListener("abort", onAbort);
      // Deno cannot abort a dial: a connection that arrives after the abort is closed.
      if (abandoned) dialed.then((quic) => quic.close(QUIC_RESET), () => {});
    }
  }
}

/** Makes the QUIC transport, for libp2p's configuration. Needs `--unstable-net`. */
export function quic(): (components: TransportComponents) => Transport {
  return (components) => new QuicTransport(components);
}

// deno-lint-ignore require-await -- what listen() throws must reject
async function quicServer(address: Multiaddr, endpoints: EndpointPool): Promise<PipeServer> {
  const target = quicAddress(address);
  if (target === null) throw new TypeError(`Cannot listen: not a QUIC address: ${address}`);
  const [{ endpoint }, release] = endpoints.listen(target);
  const listener = endpoint.listen({
    ...TRANSPORT_OPTIONS,
    maxConcurrentBidirectionalStreams: 1,
    alpnProtocols: ALPN,
    key: CERTIFICATE_KEY,
    cert: CERTIFICATE,
  });
  const bound = endpoint.addr;
  let open = true;
  let handshakes = 0;
  return {
    address: bound,
    async accept(handler) {
      while (open) {
        // Its remoteAddr must not be asked for here: in Deno that uses the incoming up.
        const incoming = await listener.incoming().catch(() => null);
        if (incoming === null) break;
        if (handshakes >= MAX_HANDSHAKES) {
          incoming.refuse();
          continue;
        }
        handshakes++;
        void acceptPipe(incoming)
          .then((accepted) =>
            accepted !== null && open ? handler(accepted) : accepted?.pipe.destroy()
          )
          .finally(() => handshakes--);
      }
    },
    close() {
      if (!open) return;
      open = false;
      listener.stop();
      release();
    },
  };
}

async function acceptPipe(incoming: Deno.QuicIncoming) {
  let quic: Deno.QuicConn | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    quic = await incoming.accept();
    // Closing ends the read below: a client that opens no stream holds nothing for long.
    timer = setTimeout(() => quic?.close(QUIC_RESET), HANDSHAKE_TIMEOUT_MS);
    const streams = quic.incomingBidirectionalStreams.getReader();
    const { value: stream } = await streams.read();
    if (stream === undefined) return null;
    return { pipe: quicPipe({ quic, stream, release: () => {} }), remote: quic.remoteAddr };
  } catch {
    quic?.close(QUIC_RESET);
    return null;
  } finally {
    clearTimeout(timer);
  }
}
