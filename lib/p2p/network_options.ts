/**
 * What a node in the network can be told.
 * @module
 */
import type { Stream } from "@libp2p/interface";
import type { Libp2pInit } from "libp2p";
import type { Identity } from "../core/mod.ts";
import type { NetworkEvent } from "./network_events.ts";
import type { ConnectionLimits, NatOptions } from "./libp2p_node.ts";

/** Options of {@linkcode createNetwork}. */
export interface NetworkOptions {
  /** The key of receipts is the key of the peer. */
  identity: Identity;
  /**
   * Multiaddrs to listen on.
   * @default {none: a node that only dials}
   */
  listen?: readonly string[] | undefined;
  /**
   * Multiaddrs announced in place of the listening ones.
   * @default {[]}
   */
  announce?: readonly string[] | undefined;
  /**
   * Multiaddrs of the nodes to join through.
   * @default {[]}
   */
  bootstrap?: readonly string[] | undefined;
  /**
   * A client asks the DHT and answers nothing.
   * @default {"server"}
   */
  mode?: "server" | "client" | undefined;
  /**
   * Whether addresses of private networks are told and dialled.
   * @default {true}
   */
  allowPrivate?: boolean | undefined;
  /**
   * Whether nodes on the same link are found by multicast DNS.
   * @default {false}
   */
  mdns?: boolean | undefined;
  /** @default {all but UPnP} */
  nat?: NatOptions | undefined;
  /** @default {see ConnectionLimits} */
  limits?: ConnectionLimits | undefined;
  /**
   * Peer ids and address ranges; see `connection_gater.ts`.
   * @default {all}
   */
  allow?: readonly string[] | undefined;
  /** @default {none} */
  deny?: readonly string[] | undefined;
  /**
   * Where peers and their reputation are kept between runs.
   * @default {nowhere}
   */
  stateDir?: string | undefined;
  /**
   * Takes what happens. Must not throw.
   * @default {no peer}
   */
  log?: ((event: NetworkEvent) => void) | undefined;
  /**
   * In place of TCP and QUIC, for tests and benches in one process.
   * @default {QUIC and TCP}
   */
  transports?: Libp2pInit["transports"];
}

/**
 * Serves one stream of a protocol. What it throws resets the stream.
 *
 * @param mayAgain Counts another request on the same stream like a new stream; false if the peer is
 * over its rate
 */
export type StreamHandler = (
  stream: Stream,
  peerId: string,
  mayAgain: () => boolean,
) => void | Promise<void>;

/** Options of {@linkcode PlasmNetwork.dialProtocol}. */
export interface DialOptions {
  /** Aborts the operation. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * Gives the stream before the peer has agreed to the protocol, which spares a round trip. The first bytes to
   * come are then `multistreamHeader(protocol)`: who dials must take them off, and believe nothing without them.
   * @default {false}
   */
  early?: boolean | undefined;
}

/** Options of {@linkcode PlasmNetwork.handle}. */
export interface HandleOptions {
  /**
   * Streams of one connection at once.
   * @default {32}
   */
  maxStreams?: number | undefined;
  /**
   * Streams a peer may open at once after a rest.
   * @default {32}
   */
  burst?: number | undefined;
  /**
   * Streams a peer may open in a second, in the long run.
   * @default {8}
   */
  perSecond?: number | undefined;
}
