/**
 * Peer network over libp2p: connections, discovery and capabilities of nodes.
 *
 * @module
 */
import { restoreEnvironment } from "./patches/hidden_environment.ts"; // before all others

export { type BootstrapStatus } from "./connectivity/bootstrap.ts";
export { type Reachability } from "./connectivity/nat_traversal.ts";
export { probeReachability } from "./connectivity/reachability_probe.ts";
export { type Candidate, type DiscoverCriteria } from "./discovery/candidate.ts";
export { type CapabilityFields, probeWasmFeatures } from "./discovery/capability.ts";
export { createNetwork, PlasmNetwork } from "./network.ts";
export { type NetworkEventName } from "./network_events.ts";
export { type PeerOutcome } from "./state/peer_state.ts";
export { type OptimisticStream } from "./patches/optimistic_stream.ts";
export { MAX_STREAM_WINDOW_BYTES } from "./patches/yamux.ts";

restoreEnvironment();
