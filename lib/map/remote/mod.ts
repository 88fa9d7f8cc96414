/**
 * Maps on nodes of the network; apart from the other places, because it loads libp2p.
 *
 * @module
 */
export { RemotePlacement, type RemotePlacementOptions } from "./remote_placement.ts";
