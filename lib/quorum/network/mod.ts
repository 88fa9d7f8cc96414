/**
 * Public entry point of the quorum/network component.
 * @module
 */
export { findQuorumNodes, type FindQuorumNodesOptions } from "./find_quorum_nodes.ts";
