/**
 * Public entry point of the quorum/network component.
 * @module
 */
export { findQuorumNodes, type FindQuorumNodesOptions, withNetworks } from "./find_quorum_nodes.ts";
