/**
 * The daemon's part in the peer network: hosting, remote runs and discovery.
 * @module
 */
export { joinPeerNetwork, type NetworkContext } from "./peer_network.ts";
