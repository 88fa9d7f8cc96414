/**
 * QUIC on Deno's own endpoint: one bidirectional stream as a byte pipe, under the same Noise and Yamux as TCP.
 *
 * QUIC requires TLS, and Deno can neither skip the check of a server's certificate nor send a client certificate.
 * The certificate and its key are therefore the same in every copy of the program and prove nothing: the Noise XX
 * handshake inside the stream authenticates the peer (docs/adr/0003). {@linkcode quicAddress} explains the name
 * `/quic`.
 *
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
import { quicAddress } from "../addresses.ts";
import { type BytePipe, type PipeServer, SocketConnection } from "./socket_connection.ts";
import { PipeListener } from "./socket_listener.ts";
import type { TransportComponents } from "./tcp.ts";
import { ReadBuffer } from "../../util/mod.ts";

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

/** One bound UDP socket, closed when its last user lets go. */
export class SharedEndpoint {
  readonly endpoint: Deno.QuicEndpoint;
  #users = 0;
  #onIdle: () => void;

  constructor(options: { hostname: string; port: number }, onIdle: () => void) {
    this.endpoint = new Deno.QuicEndpoint(options);
    this.#onIdle = onIdle;
  }

  /** Takes a share. The returned function gives it back, once. */
  share(): () => void {
    this.#users++;
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#users--;
      if (this.#users > 0) return;
      this.endpoint.close();
      this.#onIdle();
    };
  }
}

/** The sockets of one transport. */
export class EndpointPool {
  #listening = new Map<SharedEndpoint, string>();
  #dialing = new Map<string, SharedEndpoint>();

  /**
   * Binds a socket for a listener; the returned function gives it back.
   *
   * @throws {Deno.errors.AddrInUse} where the port is taken
   */
  listen(options: { hostname: string; port: number }): [SharedEndpoint, () => void] {
    const shared = new SharedEndpoint(options, () => {});
    const release = shared.share();
    this.#listening.set(shared, options.hostname);
    return [shared, () => {
      this.#listening.delete(shared);
      release();
    }];
  }

  /**
   * A socket to dial from. Where we listen on all addresses of the family it is that one: packets
   * from the listening port open the NAT for those to it, which is what hole punching needs.
   */
  dial(ipv6: boolean): SharedEndpoint {
    const any = ipv6 ? "::" : "0.0.0.0";
    for (const [shared, hostname] of this.#listening) if (hostname === any) return shared;
    const shared = this.#dialing.get(any) ??
      new SharedEndpoint({ hostname: any, port: 0 }, () => this.#dialing.delete(any));
    this.#dialing.set(any, shared);
    return shared;
  }
}

/** How a connection ends that was torn down. */
export const QUIC_RESET: Deno.QuicCloseInfo = { closeCode: 1, reason: "reset" };
/** How a connection ends after both sides wrote and read everything. */
const QUIC_DONE: Deno.QuicCloseInfo = { closeCode: 0, reason: "" };

/** What a {@linkcode quicPipe} is made of. */
export interface QuicPipeInit {
  quic: Deno.QuicConn;
  stream: Deno.QuicBidirectionalStream;
  /** Called once, when the connection is closed. */
  release: () => void;
}

/** Wraps a QUIC stream and its connection, both of which it then owns. */
export function quicPipe({ quic, stream, release }: QuicPipeInit): BytePipe {
  const reader = stream.readable.getReader({ mode: "byob" });
  const buffer = new ReadBuffer();
  const writer = stream.writable.getWriter();
  let open = true;
  let written = false;
  let read = false;
  // Not awaited: read() and write() report their failure.
  reader.closed.catch(() => {});
  writer.closed.catch(() => {});
  return {
    async read() {
      const { value, done } = await reader.read(buffer.space).catch(asReset);
      if (!done) return buffer.take(value);
      read = true;
      return null;
    },
    write: (data) => writer.write(data).catch(asReset),
    async finish() {
      await writer.close().catch(asReset);
      written = true;
    },
    destroy() {
      if (!open) return;
      open = false;
      quic.close(read && written ? QUIC_DONE : QUIC_RESET);
      release();
    },
  };
}

/** Deno says only "Error" where the connection is lost. */
function asReset(error: unknown): never {
  throw new Deno.errors.ConnectionReset("The QUIC connection was lost", { cause: error });
}

/** The name in the certificate; RFC 6761 keeps it from ever being a real host. */
export const SERVER_NAME = "plasm.invalid";

/** ECDSA P-256, not a CA (webpki refuses a CA as a leaf), valid from 2020 to 2120. */
export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBkDCCATWgAwIBAgIBATAKBggqhkjOPQQDAjAYMRYwFAYDVQQDDA1wbGFzbS5p
bnZhbGlkMCAXDTIwMDEwMTAwMDAwMFoYDzIxMjAwMTAxMDAwMDAwWjAYMRYwFAYD
VQQDDA1wbGFzbS5pbnZhbGlkMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEcBKq
UwfUDoQjng9An7SwCmckZ5kxF4q9PTwTzbWlCU7ikFAmK37s53dywLBeMM7+5rsj
tjg8Rt59whb+LiykZ6NuMGwwGAYDVR0RBBEwD4INcGxhc20uaW52YWxpZDAMBgNV
HRMBAf8EAjAAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMA4GA1UdDwEB/wQEAwIHgDAd
BgNVHQ4EFgQUTuIZ0TkeboibaZLwcmwmRLKadpswCgYIKoZIzj0EAwIDSQAwRgIh
ANVOL2DqFoy+OSdV4zMrNjkJCQPtZVGrYJmp5WPAEATTAiEAuw+oLeMyUJICz4ug
8Ql9ZuYa8JRcr3bJCBs//Z8QOpM=
-----END CERTIFICATE-----
`;

/** The key of {@linkcode CERTIFICATE}. Not a secret. */
export const CERTIFICATE_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAPK9yCRE4KSsVmiK
9+SXDzjPNQBs4a8JRGa47nabfNmhRANCAARwEqpTB9QOhCOeD0CftLAKZyRnmTEX
ir09PBPNtaUJTuKQUCYrfuznd3LAsF4wzv7muyO2ODxG3n3CFv4uLKRn
-----END PRIVATE KEY-----
`;
