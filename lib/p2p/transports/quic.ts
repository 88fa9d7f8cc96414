/**
 * QUIC on Deno's endpoint: one bidirectional stream as a byte pipe, under the same Noise and Yamux as TCP.
 *
 * QUIC requires TLS, and Deno can neither skip the check of a server's certificate nor send a client certificate.
 * The certificate and its key are therefore the same in every copy of the program and prove nothing: the Noise XX
 * handshake inside the stream authenticates the peer (docs/adr/0003). {@linkcode quicAddress} explains its name,
 * `/noise`.
 *
 * @module
 */
import type { Transport } from "@libp2p/interface";
import { abortable, deadline } from "../../util/async/mod.ts";
import { ReadBuffer } from "../../util/mod.ts";
import type { HandshakeLimiter } from "../access/handshake_limiter.ts";
import { quicAddress, type SocketAddress } from "../addresses.ts";
import {
  type AcceptedPipe,
  type BytePipe,
  type PipeServer,
  SocketTransport,
  type TransportComponents,
  type TransportOptions,
} from "./socket_transport.ts";

/** Differs from the "libp2p" of standard peers, so that their handshake fails. */
const ALPN = ["plasm/1"];

/** Time limit of a handshake, in milliseconds: a UDP port that drops packets looks slow, and TCP is tried next. */
const HANDSHAKE_TIMEOUT_MS = 4_000;

/** Keep-alive interval, in milliseconds: NATs drop a UDP mapping after 30 s (RFC 4787 asks for 120, few comply). */
const KEEP_ALIVE_MS = 5_000;

/** Idle timeout, in milliseconds: three lost keep-alives. It also ends abandoned dials. */
const MAX_IDLE_MS = 15_000;

const TRANSPORT_OPTIONS: Deno.QuicTransportOptions = {
  keepAliveInterval: KEEP_ALIVE_MS,
  maxIdleTimeout: MAX_IDLE_MS,
  maxConcurrentUnidirectionalStreams: 0,
  // BBR. CUBIC, the default, reads each lost packet as congestion: over 100 ms and 2 % loss it moved 20 MB in 200 s,
  // BBR in 49 s. On loopback BBR is up to a third slower.
  congestionControl: "low-latency",
};

/** QUIC transport for libp2p's configuration: `/ip4|ip6|dns…/…/udp/…/noise`. Needs `--unstable-net`. */
export function quic(
  options: TransportOptions = {},
): (components: TransportComponents) => Transport {
  return (components) => {
    const endpoints = new EndpointPool();
    return new SocketTransport(components, {
      ...options,
      name: "quic",
      parse: quicAddress,
      connect: (target, signal) => connectQuicPipe(target, { endpoints, signal }),
      bind: (target) => bindQuic(target, endpoints),
    });
  };
}

async function connectQuicPipe(
  { hostname, port, ipv6 }: SocketAddress,
  { endpoints, signal }: { endpoints: EndpointPool; signal: AbortSignal },
): Promise<BytePipe> {
  const shared = endpoints.dial(ipv6);
  const release = shared.share();
  const handshake = Deno.connectQuic<false>({
    ...TRANSPORT_OPTIONS,
    maxConcurrentBidirectionalStreams: 0,
    endpoint: shared.endpoint,
    hostname,
    port,
    serverName: SERVER_NAME,
    caCerts: [CERTIFICATE],
    alpnProtocols: ALPN,
  });
  try {
    const quic = await deadline(abortable(handshake, { signal }), {
      ms: HANDSHAKE_TIMEOUT_MS,
      error: () => new Deno.errors.TimedOut(`No QUIC answer in ${HANDSHAKE_TIMEOUT_MS} ms`),
    });
    handleClose(quic);
    return quicPipe({ quic, stream: await quic.createBidirectionalStream(), release });
  } catch (error) {
    // Deno cannot abort a handshake: close a connection that is established later.
    handshake.then((late) => {
      handleClose(late);
      late.close(QUIC_RESET);
    }, () => {});
    release();
    throw error;
  }
}

function bindQuic(target: SocketAddress, endpoints: EndpointPool): PipeServer {
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
  return {
    address: bound,
    async accept(handler, handshakes) {
      while (open) {
        // Do not read its remoteAddr here: in Deno that consumes the incoming connection.
        const incoming = await listener.incoming().catch(() => null);
        if (incoming === null) break;
        void acceptPipe(incoming, handshakes).then((accepted) => {
          if (open && accepted !== null) return handler(accepted);
          accepted?.endHandshake();
          accepted?.pipe.destroy();
        });
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

/** In Deno 2.7 `closed` rejects when a peer breaks off its handshake or is lost; reads and writes report that too. */
function handleClose(quic: Deno.QuicConn): void {
  quic.closed.catch(() => {});
}

/** Returns null for a connection that fails during its handshake or exceeds the limit of handshakes. */
async function acceptPipe(
  incoming: Deno.QuicIncoming,
  handshakes: HandshakeLimiter,
): Promise<AcceptedPipe | null> {
  let quic: Deno.QuicConn | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let endHandshake: (() => void) | undefined;
  const reset = (): void => quic?.close(QUIC_RESET);
  try {
    // Returns before the end of the handshake, which makes the address known and the handshake abortable.
    quic = incoming.accept<true>({ zeroRtt: true });
    handleClose(quic);
    const remote = quic.remoteAddr;
    endHandshake = handshakes.enter(remote.hostname, reset);
    if (endHandshake === undefined) {
      reset();
      return null;
    }
    // Closing ends the reads below, so a client that opens no stream occupies nothing for long.
    timer = setTimeout(reset, HANDSHAKE_TIMEOUT_MS);
    await quic.handshake;
    const streams = quic.incomingBidirectionalStreams.getReader();
    const { value: stream } = await streams.read();
    if (stream === undefined) throw new Deno.errors.ConnectionReset("No stream was opened");
    return { pipe: quicPipe({ quic, stream, release: () => {} }), remote, endHandshake };
  } catch {
    reset();
    endHandshake?.();
    return null;
  } finally {
    clearTimeout(timer);
  }
}

/** One bound UDP socket, closed when its last user releases it. */
class SharedEndpoint {
  readonly endpoint: Deno.QuicEndpoint;
  #users = 0;
  #onIdle: () => void;

  constructor(options: { hostname: string; port: number }, onIdle: () => void) {
    this.endpoint = new Deno.QuicEndpoint(options);
    this.#onIdle = onIdle;
  }

  /** Acquires a share. Returns the function that releases it. */
  share(): () => void {
    this.#users++;
    let shared = true;
    return () => {
      if (!shared) return;
      shared = false;
      this.#users--;
      if (this.#users > 0) return;
      this.endpoint.close();
      this.#onIdle();
    };
  }
}

/** Sockets of one transport. */
class EndpointPool {
  #listening = new Map<SharedEndpoint, string>();
  #dialing = new Map<string, SharedEndpoint>();

  /**
   * Binds a socket for a listener. Returns it with the function that releases it.
   *
   * @throws {Deno.errors.AddrInUse} If the port is in use.
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
   * Socket to dial from: the listener's if it listens on all addresses of the family. Packets from the listening port
   * open the NAT for packets to that port, which hole punching needs.
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

/** Close code of an aborted connection. */
const QUIC_RESET: Deno.QuicCloseInfo = { closeCode: 1, reason: "reset" };
/** Close code after both sides wrote and read everything. */
const QUIC_DONE: Deno.QuicCloseInfo = { closeCode: 0, reason: "" };

interface QuicPipeInit {
  quic: Deno.QuicConn;
  stream: Deno.QuicBidirectionalStream;
  /** Called once when the connection closes. */
  release: () => void;
}

/** Wraps a QUIC stream and its connection and takes ownership of both. */
function quicPipe({ quic, stream, release }: QuicPipeInit): BytePipe {
  const reader = stream.readable.getReader({ mode: "byob" });
  const buffer = new ReadBuffer();
  const writer = stream.writable.getWriter();
  let open = true;
  let written = false;
  let read = false;
  // read() and write() report these failures.
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

/** Replaces the bare "Error" that Deno throws for a lost connection. */
function asReset(error: unknown): never {
  throw new Deno.errors.ConnectionReset("The QUIC connection was lost", { cause: error });
}

/** Name in the certificate; RFC 6761 reserves `.invalid`. */
export const SERVER_NAME = "plasm.invalid";

/** Certificate of every node: ECDSA P-256, not a CA (webpki rejects a CA as a leaf), valid from 2020 to 2120. */
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

/** Key of {@linkcode CERTIFICATE}. Not a secret. */
const CERTIFICATE_KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgAPK9yCRE4KSsVmiK
9+SXDzjPNQBs4a8JRGa47nabfNmhRANCAARwEqpTB9QOhCOeD0CftLAKZyRnmTEX
ir09PBPNtaUJTuKQUCYrfuznd3LAsF4wzv7muyO2ODxG3n3CFv4uLKRn
-----END PRIVATE KEY-----
`;
