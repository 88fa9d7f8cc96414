/**
 * Tracks open connections, reports their changes as events and limits connections per peer.
 *
 * @module
 */
import type { Connection, PeerId } from "@libp2p/interface";
import type { Libp2p } from "libp2p";
import { pathOf, transportOf } from "../addresses.ts";
import type { EmitEvent, Path, Transport } from "../network_events.ts";
import { BoundedMap } from "../../util/mod.ts";

/** Open connection, as listed by `plasm peers`. */
export interface PeerConnection {
  peerId: string;
  address: string;
  transport: Transport;
  direction: "inbound" | "outbound";
  path: Path;
  /** Latest ping in milliseconds; null before the first. */
  latencyMs: number | null;
  /** Start of the connection in Unix milliseconds. */
  openedAt: number;
  streams: number;
}

/** Peers whose latest connection is recorded for the next start. */
const MAX_SEEN = 1000;

/** A direct connection within this time of a relayed one, in milliseconds, results from hole punching: DCUtR tries for 15 s. */
const HOLE_PUNCH_MS = 30_000;

/** Options of {@linkcode ConnectionTracker}. */
export interface ConnectionTrackerOptions {
  libp2p: Libp2p;
  emit: EmitEvent;
  /** Most connections of one peer; further ones are closed. */
  maxPerPeer: number;
}

/** Tracks the connections of a node. */
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

  /** Time of each peer's latest connect or disconnect, in Unix milliseconds, by peer id. */
  get seen(): ReadonlyMap<string, number> {
    return new Map(this.#seen);
  }

  /** Open connections. */
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
    this.#recordPath(connection);
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

  /** Detects hole punching by time: the peer may close the relayed connection before the direct one opens here. */
  #recordPath(connection: Connection): void {
    const peerId = connection.remotePeer.toString();
    if (pathOf(connection.remoteAddr) === "relayed") {
      this.#relayedAt.set(peerId, Date.now());
      return;
    }
    const relayedAt = this.#relayedAt.get(peerId) ?? -Infinity;
    if (Date.now() - relayedAt > HOLE_PUNCH_MS) return;
    this.#relayedAt.set(peerId, -Infinity);
    this.#options.emit({ event: "nat", step: "hole-punched", ...describe(connection) });
  }

  #onClose(connection: Connection): void {
    this.#seen.set(connection.remotePeer.toString(), Date.now());
    this.#options.emit({ event: "disconnect", ...describe(connection) });
  }
}

/** Best open connection to a peer, direct before relayed. libp2p would dial again if all are relayed. */
export function openConnection(libp2p: Libp2p, peerId: PeerId): Connection | undefined {
  const open = libp2p.getConnections(peerId).filter(({ status }) => status === "open");
  return open.find(({ remoteAddr }) => pathOf(remoteAddr) === "direct") ?? open[0];
}

/** Closes all other connections to the peer of a connection. */
export function closeOthers(libp2p: Libp2p, { id, remotePeer }: Connection): void {
  for (const other of libp2p.getConnections(remotePeer)) {
    if (other.id !== id) other.abort(new Error("A new connection replaces it"));
  }
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
