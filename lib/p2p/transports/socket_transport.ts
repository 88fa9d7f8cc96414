/**
 * libp2p transport, listener and connection over any socket that carries bytes; TCP and QUIC differ only in the socket.
 *
 * @module
 */
import {
  AbstractMultiaddrConnection,
  type AbstractMultiaddrConnectionInit,
  getThinWaistAddresses,
  type SendResult,
} from "@libp2p/utils";
import {
  type AbortOptions,
  type ComponentLogger,
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  type ListenerEvents,
  type Logger,
  serviceCapabilities,
  setMaxListeners,
  type Transport,
  transportSymbol,
  TypedEventEmitter,
  type Upgrader,
} from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { abortable } from "../../util/async/mod.ts";
import { type SocketAddress, toMultiaddr } from "../addresses.ts";
import { HandshakeLimiter, type HandshakeLimits } from "../access/handshake_limiter.ts";
import { toError } from "../network_events.ts";

/** Duplex byte channel over one socket. Callers never read or write it twice at the same time. */
export interface BytePipe {
  /** Reads the next bytes into a new buffer; resolves to null at the peer's end of stream. */
  read(): Promise<Uint8Array | null>;
  /** Resolves when the socket has accepted all bytes. */
  write(data: Uint8Array): Promise<void>;
  /** Ends the write side after all written bytes; reads continue. */
  finish(): Promise<void>;
  /** Closes the socket, which fails pending operations. Safe to call twice. */
  destroy(): void;
}

/** Incoming socket. */
export interface AcceptedPipe {
  pipe: BytePipe;
  remote: Deno.NetAddr;
  /** Ends the handshake that the socket layer started with {@linkcode HandshakeLimiter.enter}. */
  endHandshake: () => void;
}

/** Bound socket. */
export interface PipeServer {
  /** Bound address, with the port that the system chose. */
  readonly address: Deno.NetAddr;
  /**
   * Calls the handler for each connection until {@linkcode PipeServer.close}. Connections that fail during setup or
   * exceed the limit of handshakes are dropped silently.
   */
  accept(handler: (accepted: AcceptedPipe) => void, handshakes: HandshakeLimiter): Promise<void>;
  /** Stops accepting; accepted connections stay open. Safe to call twice. */
  close(): void;
}

/** Socket layer of a transport. */
export interface SocketLayer {
  /** Last part of its multiaddrs. */
  name: "tcp" | "quic";
  /** Parses a multiaddr; returns null for one of another layer. */
  parse(address: Multiaddr): SocketAddress | null;
  /** Connects a socket. Rejects with the signal's reason if it aborts. */
  connect(target: SocketAddress, signal: AbortSignal): Promise<BytePipe>;
  /** Binds a socket. */
  bind(target: SocketAddress): PipeServer;
}

/** Components of libp2p that a transport uses. */
export interface TransportComponents {
  logger: ComponentLogger;
}

/** Error of a peer that accepts connections and does not complete the handshake. */
export class HandshakeTimeoutError extends Error {
  override name = "HandshakeTimeoutError";

  constructor(cause: unknown) {
    super("The peer accepted the connection and did not complete the handshake", { cause });
  }
}

/** Options of a transport. */
export interface TransportOptions {
  /** Limits of incomplete incoming handshakes, for this transport alone: sources of QUIC packets can be forged. */
  handshakes?: HandshakeLimits | undefined;
}

/** libp2p transport over a {@linkcode SocketLayer}. */
export class SocketTransport implements Transport {
  readonly [transportSymbol] = true;
  readonly [serviceCapabilities]: string[] = ["@libp2p/transport"];
  #components: TransportComponents;
  #layer: SocketLayer;
  #handshakes: HandshakeLimiter;

  constructor(
    components: TransportComponents,
    { handshakes, ...layer }: SocketLayer & TransportOptions,
  ) {
    this.#components = components;
    this.#layer = layer;
    this.#handshakes = new HandshakeLimiter(handshakes);
  }

  get [Symbol.toStringTag](): string {
    return `plasm-${this.#layer.name}`;
  }

  /**
   * Connects and upgrades the connection.
   *
   * @throws {HandshakeTimeoutError} If the signal aborts with a time limit after the socket has connected.
   * @throws The signal's reason if it aborts otherwise, or the error of the socket.
   */
  async dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
    const { name, parse, connect } = this.#layer;
    const target = parse(address);
    if (target === null) throw new TypeError(`Cannot dial ${address}: not a ${name} address`);
    options.signal.throwIfAborted();
    const connection = new SocketConnection({
      pipe: await connect(target, options.signal),
      remoteAddr: address,
      direction: "outbound",
      log: this.#components.logger.forComponent(`plasm:${name}:connection`),
    });
    try {
      return await options.upgrader.upgradeOutbound(connection, options);
    } catch (error) {
      connection.abort(toError(error));
      const { aborted, reason } = options.signal;
      const isLate = aborted && (reason as Error | undefined)?.name === "TimeoutError";
      throw isLate ? new HandshakeTimeoutError(error) : error;
    }
  }

  createListener({ upgrader }: CreateListenerOptions): Listener {
    return new SocketListener({
      upgrader,
      logger: this.#components.logger,
      layer: this.#layer,
      handshakes: this.#handshakes,
    });
  }

  listenFilter(addresses: Multiaddr[]): Multiaddr[] {
    return addresses.filter((address) => this.#layer.parse(address) !== null);
  }

  dialFilter(addresses: Multiaddr[]): Multiaddr[] {
    return this.listenFilter(addresses);
  }
}

interface SocketListenerInit {
  upgrader: Upgrader;
  logger: ComponentLogger;
  layer: SocketLayer;
  handshakes: HandshakeLimiter;
}

/** Accepts sockets and passes them to libp2p's upgrader. */
class SocketListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  #init: SocketListenerInit;
  #log: Logger;
  #server: PipeServer | undefined;
  #accepting: Promise<void> | undefined;
  #listenAddress: Multiaddr | undefined;
  #shutdown = new AbortController();
  #open = new Set<SocketConnection>();

  constructor(init: SocketListenerInit) {
    super();
    this.#init = init;
    this.#log = init.logger.forComponent(`plasm:${init.layer.name}:listener`);
  }

  /**
   * Binds the address and accepts connections. Can be called again after {@linkcode SocketListener.close}.
   *
   * @throws {Error} If the listener is bound.
   * @throws {Deno.errors.AddrInUse} If the port is in use.
   */
  // deno-lint-ignore require-await -- errors of bind() must reject
  async listen(address: Multiaddr): Promise<void> {
    const { layer } = this.#init;
    if (this.#server !== undefined) throw new Error("Cannot listen: the listener is in use");
    const target = layer.parse(address);
    if (target === null) {
      throw new TypeError(`Cannot listen on ${address}: not a ${layer.name} address`);
    }
    this.#server = layer.bind(target);
    this.#listenAddress = address;
    this.#shutdown = new AbortController();
    setMaxListeners(Infinity, this.#shutdown.signal);
    const { handshakes } = this.#init;
    this.#accepting = this.#server.accept((accepted) => void this.#onAccept(accepted), handshakes);
    this.safeDispatchEvent("listening");
  }

  /** Bound addresses; a wildcard is replaced by the address of every interface. */
  getAddrs(): Multiaddr[] {
    if (this.#server === undefined || this.#listenAddress === undefined) return [];
    const { port } = this.#server.address;
    const bound = getThinWaistAddresses(this.#listenAddress, port);
    return this.#init.layer.name === "tcp"
      ? bound
      : bound.map((address) => address.encapsulate("/noise"));
  }

  updateAnnounceAddrs(): void {}

  /** Stops accepting and aborts the accepted connections. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#listenAddress = undefined;
    server.close();
    this.#shutdown.abort();
    for (const connection of this.#open) connection.abort(new Error("Listener closed"));
    await this.#accepting;
    this.safeDispatchEvent("close");
  }

  async #onAccept({ pipe, remote, endHandshake }: AcceptedPipe): Promise<void> {
    const connection = new SocketConnection({
      pipe,
      remoteAddr: toMultiaddr(remote, this.#init.layer.name),
      direction: "inbound",
      log: this.#log.newScope("connection"),
    });
    this.#open.add(connection);
    connection.addEventListener("close", () => this.#open.delete(connection), { once: true });
    try {
      await this.#init.upgrader.upgradeInbound(connection, { signal: this.#shutdown.signal });
    } catch (error) {
      connection.abort(toError(error));
    } finally {
      endHandshake();
    }
  }
}

/** libp2p's Uint8ArrayList, whose package is not a direct dependency. */
type ByteList = Parameters<AbstractMultiaddrConnection["sendData"]>[0];

/** Queued bytes above which backpressure applies: two Yamux windows of a fast stream. */
const HIGH_WATER_BYTES = 512 * 1024;

/**
 * Largest batch of small writes, in bytes: one chunk of content, which is two Noise messages. A Yamux header has 12
 * bytes, a Noise tag 16.
 */
const BATCH_BYTES = 132 * 1024;

/** Batches above this size, in bytes, reuse memory: an allocation costs ten times as much as the copy. */
const REUSE_ABOVE_BYTES = 8 * 1024;

/** Memory of the last large batch of any connection, while no connection uses it. */
let spareBatch: Uint8Array | undefined;

/** How long a closing connection waits for the peer's end of stream, in milliseconds. */
const LINGER_MS = 1_000;

/** Options of {@linkcode SocketConnection}. */
export interface SocketConnectionInit extends AbstractMultiaddrConnectionInit {
  pipe: BytePipe;
}

/** libp2p connection over a {@linkcode BytePipe}, with backpressure in both directions. */
export class SocketConnection extends AbstractMultiaddrConnection {
  #pipe: BytePipe;
  #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #batch: Uint8Array | undefined;
  #writing = false;
  #reading = false;
  #finishing = false;
  #drained: PromiseWithResolvers<void> | undefined;
  #ended = Promise.withResolvers<void>();

  constructor(init: SocketConnectionInit) {
    super(init);
    this.#pipe = init.pipe;
    void this.#readAll();
  }

  /** Queues all bytes; `canSendMore` is false above the high-water mark. */
  sendData(data: ByteList): SendResult {
    for (const chunk of data) this.#queue.push(chunk);
    this.#queuedBytes += data.byteLength;
    const sentBytes = data.byteLength;
    void this.#writeAll();
    return { sentBytes, canSendMore: this.#queuedBytes < HIGH_WATER_BYTES };
  }

  /**
   * Ends the write side after all queued bytes, then waits briefly for the peer's end of stream: closing a socket
   * with unread bytes resets it, and the peer can lose the last bytes.
   */
  async sendClose(options: AbortOptions = {}): Promise<void> {
    const limit = AbortSignal.timeout(LINGER_MS);
    const signal = options.signal === undefined ? limit : AbortSignal.any([options.signal, limit]);
    try {
      if (this.#writing) {
        this.#drained ??= Promise.withResolvers();
        await abortable(this.#drained.promise, { signal });
      }
      this.#finishing = true;
      await abortable(this.#pipe.finish(), { signal });
      void this.#readAll();
      await abortable(this.#ended.promise, { signal });
    } catch {
      // Timed out or disconnected: the socket is closed either way.
    } finally {
      this.#pipe.destroy();
    }
  }

  sendReset(): void {
    this.#pipe.destroy();
  }

  /** The read loop checks the status and stops; the socket's own window then fills up. */
  sendPause(): void {}

  sendResume(): void {
    void this.#readAll();
  }

  async #readAll(): Promise<void> {
    if (this.#reading) return;
    this.#reading = true;
    try {
      while (this.readStatus !== "paused" || this.status !== "open") {
        const chunk = await this.#pipe.read();
        if (chunk === null) {
          this.#onEnd();
          return;
        }
        this.onData(chunk);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#reading = false;
    }
  }

  async #writeAll(): Promise<void> {
    if (this.#writing) return;
    this.#writing = true;
    try {
      // A large write of the muxer arrives as several Noise messages in one turn; batch them.
      await null;
      while (this.#queue.length > 0) {
        const batch = this.#nextBatch();
        await this.#pipe.write(batch);
        spareBatch = this.#batch ?? spareBatch;
        this.#batch = undefined;
        this.#queuedBytes -= batch.byteLength;
        if (this.#queuedBytes === 0 && this.writableNeedsDrain) this.safeDispatchEvent("drain");
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#writing = false;
      this.#drained?.resolve();
    }
  }

  #nextBatch(): Uint8Array {
    let count = 0;
    let bytes = 0;
    for (const chunk of this.#queue) {
      if (count > 0 && bytes + chunk.byteLength > BATCH_BYTES) break;
      bytes += chunk.byteLength;
      count++;
    }
    const chunks = this.#queue.splice(0, count);
    if (chunks.length === 1) return chunks[0]!;
    const batch = this.#space(bytes);
    let offset = 0;
    for (const chunk of chunks) {
      batch.set(chunk, offset);
      offset += chunk.byteLength;
    }
    return batch;
  }

  /** Memory for a batch, used by this connection alone until the batch is written. */
  #space(bytes: number): Uint8Array {
    if (bytes <= REUSE_ABOVE_BYTES) return new Uint8Array(bytes);
    this.#batch = spareBatch ?? new Uint8Array(BATCH_BYTES);
    spareBatch = undefined;
    return this.#batch.subarray(0, bytes);
  }

  /** Closes the connection at the peer's end of stream: libp2p never half-closes a whole connection. */
  #onEnd(): void {
    this.#ended.resolve();
    if (this.status !== "open") return;
    this.onTransportClosed();
    void this.sendClose();
  }

  #fail(error: unknown): void {
    this.#ended.resolve();
    this.#queue = [];
    this.#queuedBytes = 0;
    // All bytes are written: a reset by the peer now equals its end of stream.
    if (this.#finishing) return;
    this.#pipe.destroy();
    if (this.status !== "open" && this.status !== "closing") return;
    if (isReset(error)) this.onRemoteReset();
    else this.abort(toError(error));
  }
}

/** Reports whether an error means that the peer reset the connection. */
function isReset(error: unknown): boolean {
  return error instanceof Deno.errors.ConnectionReset ||
    error instanceof Deno.errors.BrokenPipe ||
    error instanceof Deno.errors.ConnectionAborted;
}
