/**
 * A transport within one process, for many nodes at once: what is above the socket is the same.
 * @module
 */
import {
  type Connection,
  type CreateListenerOptions,
  type DialTransportOptions,
  type Listener,
  type ListenerEvents,
  serviceCapabilities,
  type Transport,
  transportSymbol,
  TypedEventEmitter,
  type Upgrader,
} from "@libp2p/interface";
import type { Multiaddr } from "@multiformats/multiaddr";
import { multiaddr } from "@multiformats/multiaddr";
import type { BytePipe } from "../../lib/network/transports/byte_pipe.ts";
import { SocketConnection } from "../../lib/network/transports/connection.ts";
import type { TransportComponents } from "../../lib/network/transports/tcp.ts";

const listeners = new Map<string, (pipe: BytePipe) => void>();

function nameOf(address: Multiaddr): string | undefined {
  const [first, ...rest] = address.getComponents();
  return first?.name === "memory" && rest.every(({ name }) => name === "p2p")
    ? first.value
    : undefined;
}

/** Two ends of one pipe; writing waits until the other side has read. */
export function pipePair(): [BytePipe, BytePipe] {
  const there = new TransformStream<Uint8Array, Uint8Array>();
  const back = new TransformStream<Uint8Array, Uint8Array>();
  return [end(there.readable, back.writable), end(back.readable, there.writable)];
}

function end(readable: ReadableStream<Uint8Array>, writable: WritableStream<Uint8Array>): BytePipe {
  const reader = readable.getReader();
  const writer = writable.getWriter();
  const gone = new Deno.errors.ConnectionReset("The other end is gone");
  reader.closed.catch(() => {});
  writer.closed.catch(() => {});
  return {
    read: async () => (await reader.read()).value ?? null,
    write: (data) => writer.write(data),
    finish: () => writer.close(),
    destroy() {
      reader.cancel(gone).catch(() => {});
      writer.abort(gone).catch(() => {});
    },
  };
}

class MemoryListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  #address: Multiaddr | undefined;
  #upgrader: Upgrader;
  #components: TransportComponents;
  #closing = new AbortController();

  constructor(upgrader: Upgrader, components: TransportComponents) {
    super();
    this.#upgrader = upgrader;
    this.#components = components;
  }

  listen(address: Multiaddr): Promise<void> {
    this.#address = address;
    listeners.set(nameOf(address)!, (pipe) => {
      const connection = new SocketConnection({
        pipe,
        remoteAddr: multiaddr("/memory/dialer"),
        direction: "inbound",
        log: this.#components.logger.forComponent("memory"),
      });
      this.#upgrader.upgradeInbound(connection, { signal: this.#closing.signal })
        .catch((error) => connection.abort(error));
    });
    this.safeDispatchEvent("listening");
    return Promise.resolve();
  }

  getAddrs(): Multiaddr[] {
    return this.#address === undefined ? [] : [this.#address];
  }

  updateAnnounceAddrs(): void {}

  close(): Promise<void> {
    if (this.#address !== undefined) listeners.delete(nameOf(this.#address)!);
    this.#address = undefined;
    this.#closing.abort();
    this.safeDispatchEvent("close");
    return Promise.resolve();
  }
}

/** Makes the transport of `/memory/<name>`, for libp2p's configuration. */
export function memory(): (components: TransportComponents) => Transport {
  return (components) => ({
    [transportSymbol]: true,
    [Symbol.toStringTag]: "plasm-memory",
    [serviceCapabilities]: ["@libp2p/transport"],
    async dial(address: Multiaddr, options: DialTransportOptions): Promise<Connection> {
      const accept = listeners.get(nameOf(address) ?? "");
      if (accept === undefined) {
        throw new Deno.errors.ConnectionRefused(`Nobody listens on ${address}`);
      }
      const [near, far] = pipePair();
      accept(far);
      const connection = new SocketConnection({
        pipe: near,
        remoteAddr: address,
        direction: "outbound",
        log: components.logger.forComponent("memory"),
      });
      try {
        return await options.upgrader.upgradeOutbound(connection, options);
      } catch (error) {
        connection.abort(error instanceof Error ? error : new Error(String(error)));
        throw error;
      }
    },
    createListener: ({ upgrader }: CreateListenerOptions) =>
      new MemoryListener(upgrader, components),
    listenFilter: (addresses: Multiaddr[]) => addresses.filter(nameOf),
    dialFilter: (addresses: Multiaddr[]) => addresses.filter(nameOf),
  });
}
