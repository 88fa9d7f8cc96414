/**
 * The open connections: how many, by which way, with events for each change.
 * @module
 */
import type { Connection, PeerId } from "@libp2p/interface";
import type { Libp2p } from "libp2p";
import { pathOf, transportOf } from "../addresses.ts";
import type { EmitEvent, Path, Transport } from "../network_events.ts";
import { BoundedMap } from "../../util/mod.ts";

/** One connection, as `plasm peers` lists it. */
export interface PeerConnection {
  peerId: string;
  address: string;
  transport: Transport;
  direction: "inbound" | "outbound";
  path: Path;
  /** The latest ping; null before the first. */
  latencyMs: number | null;
  /** Unix milliseconds. */
  openedAt: number;
  streams: number;
}

/** Peers whose last connection is remembered, for the next start. */
const MAX_SEEN = 1000;

/** A direct connection this soon after a relayed one came of hole punching: DCUtR tries for 15 s. */
const PUNCH_MS = 30_000;

/** What a {@linkcode ConnectionTracker} watches. */
export interface ConnectionTrackerOptions {
  libp2p: Libp2p;
  emit: EmitEvent;
  /** Connections of one peer beyond this are closed. */
  maxPerPeer: number;
}

/** Watches the connections of a node. */
export class ConnectionTracker {
  #options: ConnectionTrackerOptions;
  #seen = new BoundedMap<string, number>(MAX_SEEN);
  #relayedAt = new BoundedMap<string, number>(MAX_SEEN);

  constructor(options: ConnectionTrackerOptions) {
    this.#options = options;
    const { libp2p } = options;
    libp2p.addEventListener("connection:open", ({ detail }) => this.#onOpen(detail));
    libp2p.addEventListener("connection:close", ({ detail }) => this.#onClose(detail));
  }

  /** Peer id to when it was last connected or disconnected, in Unix milliseconds. */
  get seen(): ReadonlyMap<string, number> {
    return new Map(this.#seen);
  }

  /** All open connections. */
  list(): PeerConnection[] {
    return this.#options.libp2p.getConnections().map((connection) => ({
      peerId: connection.remotePeer.toString(),
      address: connection.remoteAddr.toString(),
      transport: transportOf(connection.remoteAddr),
      direction: connection.direction,
      path: pathOf(connection.remoteAddr),
      latencyMs: connection.rtt ?? null,
      openedAt: connection.timeline.open,
      streams: connection.streams.length,
    }));
  }

  #onOpen(connection: Connection): void {
    const { libp2p, emit, maxPerPeer } = this.#options;
    const peerId = connection.remotePeer.toString();
    this.#seen.set(peerId, Date.now());
    emit({ event: "connect", ...describe(connection) });
    const siblings = libp2p.getConnections(connection.remotePeer);
    this.#notePath(connection);
    const others = siblings.filter(({ id }) => id !== connection.id).length;
    if (others < maxPerPeer) return;
    emit({
      event: "refused",
      ...describe(connection),
      error_code: "over-limit",
      reason: `asked ${others + 1} connections, allowed ${maxPerPeer}`,
    });
    connection.abort(new Error("Too many connections of this peer"));
  }

  /** The relayed connection may be closed by the other side before we see the direct one. */
  #notePath(connection: Connection): void {
    const peerId = connection.remotePeer.toString();
    if (pathOf(connection.remoteAddr) === "relayed") {
      this.#relayedAt.set(peerId, Date.now());
      return;
    }
    const relayedAt = this.#relayedAt.get(peerId) ?? -Infinity;
    if (Date.now() - relayedAt > PUNCH_MS) return;
    this.#relayedAt.set(peerId, -Infinity);
    this.#options.emit({ event: "nat", step: "hole_punched", ...describe(connection) });
  }

  #onClose(connection: Connection): void {
    this.#seen.set(connection.remotePeer.toString(), Date.now());
    this.#options.emit({ event: "disconnect", ...describe(connection) });
  }
}

/**
 * The best open connection to a peer: a direct one before a relayed. libp2p would dial again where
 * all are relayed.
 */
export function openConnection(libp2p: Libp2p, peerId: PeerId): Connection | undefined {
  const open = libp2p.getConnections(peerId).filter(({ status }) => status === "open");
  return open.find(({ remoteAddr }) => pathOf(remoteAddr) === "direct") ?? open[0];
}

function describe({ remotePeer, remoteAddr, direction }: Connection) {
  return {
    peer_id: remotePeer.toString(),
    address: remoteAddr.toString(),
    transport: transportOf(remoteAddr),
    path: pathOf(remoteAddr),
    direction,
  };
}
