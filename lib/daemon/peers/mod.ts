/**
 * Public entry point of the daemon/peers component.
 * @module
 */
export { joinPeerNetwork, type NetworkContext } from "./peer_network.ts";
