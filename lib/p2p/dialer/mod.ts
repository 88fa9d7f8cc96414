/**
 * Clients that dial nodes at known addresses and take no part in the DHT. They load a third of libp2p's code and start
 * in a few milliseconds.
 *
 * @module
 */
import { restoreEnvironment } from "../patches/hidden_environment.ts"; // before all others

export {
  type KnownNode,
  knownNodesKey,
  type NetworkScope,
  readKnownNodes,
  writeKnownNodes,
} from "./known_nodes.ts";
export { type DialedNode, PeerDialer, type PeerDialerOptions } from "./peer_dialer.ts";
export { type DiscoverCriteria } from "../discovery/candidate.ts";
export { MAX_STREAM_WINDOW_BYTES } from "../patches/yamux.ts";
export { Reputation } from "../state/peer_state.ts";

restoreEnvironment();
