/**
 * Nodes on the same link: libp2p hears of them by multicast DNS and leaves dialling to its user.
 * @module
 */
import type { Libp2p } from "libp2p";

/** Neighbours beyond this are found by the DHT, like everyone else. */
const MAX_NEIGHBOURS = 32;

/** Dials whom multicast DNS finds, for as long as few are connected. */
export function dialNeighbours(libp2p: Libp2p, signal: AbortSignal): void {
  libp2p.addEventListener("peer:discovery", ({ detail: { id } }) => {
    if (signal.aborted || libp2p.getConnections().length >= MAX_NEIGHBOURS) return;
    if (libp2p.getConnections(id).length === 0) libp2p.dial(id, { signal }).catch(() => {});
  });
}
