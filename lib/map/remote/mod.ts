/**
 * Maps on nodes of the network; apart from the other places, because it loads libp2p.
 *
 * @module
 */
export { AgreedPlacement, type AgreedPlacementOptions } from "./agreed_placement.ts";
export { RemotePlacement, type RemotePlacementOptions } from "./remote_placement.ts";
