/**
 * Reserves relay slots only on nodes that are known to be public, and paces the search for them; libp2p asks every
 * connected node that serves as a relay.
 *
 * @module
 */
import type { Connection, PeerId, PeerInfo, PeerStore } from "@libp2p/interface";
import { isLoopback, isPrivate } from "@libp2p/utils";
import { type Multiaddr, multiaddr } from "@multiformats/multiaddr";
import { delay } from "../../util/async/mod.ts";
import { pathOf } from "../addresses.ts";
import { overlay } from "./libp2p_components.ts";

/** Pause after the first query for peers, in milliseconds; it doubles with each query. */
const MIN_PAUSE_MS = 1_000;

/** Longest pause between two queries for peers, in milliseconds. A network may have no public node. */
const MAX_PAUSE_MS = 5 * 60_000;

/** Components that show whether a node is public. */
export interface RelayComponents {
  connectionManager: {
    getConnections(peerId: PeerId): Pick<Connection, "direction" | "remoteAddr">[];
  };
  peerStore: Pick<PeerStore, "get">;
}

/** Components with which libp2p searches for relays. */
export interface RelaySearchComponents {
  peerRouting: {
    getClosestPeers(key: Uint8Array, options: { signal: AbortSignal }): AsyncIterable<PeerInfo>;
  };
  randomWalk: { walk(options: { signal: AbortSignal }): AsyncGenerator<PeerInfo> };
}

/** Options of {@linkcode withPacedWalk}. */
export interface PacedWalkOptions {
  /** Pause after the first query, in milliseconds. @default {1000} */
  minPauseMs?: number;
  /** Whether the next walk continues the pause of the last one instead of starting with a query. @default {false} */
  isContinued?: boolean;
}

/**
 * Components whose random walk pauses after each query; libp2p's runs without a pause until it finds relays, and for
 * AutoNAT 10 s of each minute while an address is unverified, which behind a NAT is always.
 */
export function withPacedWalk<T extends RelaySearchComponents>(
  components: T,
  { minPauseMs = MIN_PAUSE_MS, isContinued = false }: PacedWalkOptions = {},
): T {
  let pauseMs = minPauseMs;
  let nextAt = 0;
  async function* walk({ signal }: { signal: AbortSignal }): AsyncGenerator<PeerInfo> {
    if (!isContinued) [pauseMs, nextAt] = [minPauseMs, 0];
    for (;;) {
      await delay(Math.max(0, nextAt - performance.now()), { signal });
      if (signal.aborted) return;
      nextAt = performance.now() + pauseMs;
      pauseMs = Math.min(2 * pauseMs, MAX_PAUSE_MS);
      const key = crypto.getRandomValues(new Uint8Array(32));
      try {
        yield* components.peerRouting.getClosestPeers(key, { signal });
      } catch {
        // The node has no peers yet.
      }
    }
  }
  return overlay(components, { randomWalk: { walk } } as unknown as Partial<T>);
}

/** Part of libp2p's relay transport that reserves slots. */
export interface RelayTransport {
  reservationStore: {
    addRelay(peerId: PeerId, type: "discovered" | "configured"): Promise<unknown>;
  };
}

/** Makes a relay transport reserve slots on public nodes only, when it finds nodes and when it renews a slot. */
export function reserveOnPublicNodes<T>(transport: T, components: RelayComponents): T {
  const { reservationStore } = transport as RelayTransport;
  const add = reservationStore.addRelay.bind(reservationStore);
  reservationStore.addRelay = async (peerId, type) => {
    if (type === "discovered" && !await isPublicNode(peerId, components)) {
      throw new Error("The node is not known to be public");
    }
    return await add(peerId, type);
  };
  return transport;
}

/**
 * Reports whether a node is known to be public: this node has dialed a public address of it, and the node announces no
 * relay. An address that it merely announces proves nothing, and one that was reached by hole punching is closed to others.
 */
export async function isPublicNode(
  peerId: PeerId,
  { connectionManager, peerStore }: RelayComponents,
): Promise<boolean> {
  const isReached = connectionManager.getConnections(peerId).some(({ direction, remoteAddr }) =>
    direction === "outbound" && pathOf(remoteAddr) === "direct" && isPublic(remoteAddr)
  );
  if (!isReached) return false;
  const { addresses } = await peerStore.get(peerId);
  return addresses.every(({ multiaddr }) => pathOf(multiaddr) === "direct");
}

function isPublic(address: Multiaddr): boolean {
  return !isPrivate(address) && !isLoopback(address);
}

/**
 * Omits repeated addresses, and relayed ones that lead nowhere: libp2p lists the address of the connection to the relay
 * again without the relay's id, and the relay's private addresses.
 */
export function usableAddresses<T extends Multiaddr>(addresses: readonly T[]): T[] {
  const seen = new Set<string>();
  return addresses.filter((address) => {
    const text = address.toString();
    if (seen.has(text)) return false;
    seen.add(text);
    const [relay, ...rest] = text.split("/p2p-circuit");
    return rest.length === 0 || (relay!.includes("/p2p/") && isPublic(multiaddr(relay)));
  });
}
