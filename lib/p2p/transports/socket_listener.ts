/**
 * A libp2p listener over any {@linkcode PipeServer}.
 * @module
 */
import {
  type ComponentLogger,
  type Listener,
  type ListenerEvents,
  type Logger,
  setMaxListeners,
  TypedEventEmitter,
  type Upgrader,
} from "@libp2p/interface";
import { getThinWaistAddresses } from "@libp2p/utils";
import type { Multiaddr } from "@multiformats/multiaddr";
import { toMultiaddr } from "../addresses.ts";
import type { AcceptedPipe, PipeServer } from "./socket_connection.ts";
import { SocketConnection } from "./socket_connection.ts";

/** What a {@linkcode PipeListener} is made of. */
export interface PipeListenerInit {
  upgrader: Upgrader;
  logger: ComponentLogger;
  /** The layer its multiaddrs end with. */
  layer: "tcp" | "quic";
  /** Binds a socket. */
  bind: (address: Multiaddr) => Promise<PipeServer>;
}

/** Accepts sockets and hands them to libp2p's upgrader. */
export class PipeListener extends TypedEventEmitter<ListenerEvents> implements Listener {
  #init: PipeListenerInit;
  #log: Logger;
  #server: PipeServer | undefined;
  #accepting: Promise<void> | undefined;
  #listenAddress: Multiaddr | undefined;
  #shutdown = new AbortController();
  #open = new Set<SocketConnection>();

  constructor(init: PipeListenerInit) {
    super();
    this.#init = init;
    this.#log = init.logger.forComponent(`plasm:${init.layer}:listener`);
  }

  /**
   * Binds and accepts. After {@linkcode PipeListener.close} it may listen again.
   *
   * @throws {Error} where it listens already
   * @throws {Deno.errors.AddrInUse} where the port is taken
   */
  async listen(address: Multiaddr): Promise<void> {
    if (this.#listenAddress !== undefined) throw new Error("Cannot listen: the listener is in use");
    this.#listenAddress = address;
    try {
      this.#server = await this.#init.bind(address);
    } catch (error) {
      this.#listenAddress = undefined;
      throw error;
    }
    this.#shutdown = new AbortController();
    setMaxListeners(Infinity, this.#shutdown.signal);
    this.#accepting = this.#server.accept((accepted) => void this.#onAccept(accepted));
    this.safeDispatchEvent("listening");
  }

  /** The bound addresses; a wildcard stands for every interface's. */
  getAddrs(): Multiaddr[] {
    if (this.#server === undefined || this.#listenAddress === undefined) return [];
    const { port } = this.#server.address;
    const bound = getThinWaistAddresses(this.#listenAddress, port);
    return this.#init.layer === "tcp"
      ? bound
      : bound.map((address) => address.encapsulate("/quic"));
  }

  updateAnnounceAddrs(): void {}

  /** Stops accepting and ends what was accepted here. */
  async close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#server = undefined;
    this.#listenAddress = undefined;
    server.close();
    this.#shutdown.abort();
    for (const connection of this.#open) connection.abort(new Error("The listener was closed"));
    await this.#accepting;
    this.safeDispatchEvent("close");
  }

  async #onAccept({ pipe, remote }: AcceptedPipe): Promise<void> {
    const connection = new SocketConnection({
      pipe,
      remoteAddr: toMultiaddr(remote, this.#init.layer),
      direction: "inbound",
      log: this.#log.newScope("connection"),
    });
    this.#open.add(connection);
    connection.addEventListener("close", () => this.#open.delete(connection), { once: true });
    try {
      await this.#init.upgrader.upgradeInbound(connection, { signal: this.#shutdown.signal });
    } catch (error) {
      connection.abort(error instanceof Error ? error : new Error(String(error)));
    }
  }
}
