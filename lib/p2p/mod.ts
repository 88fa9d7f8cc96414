/**
 * Public entry point of the p2p component.
 * @module
 */
export { type BootstrapStatus } from "./connectivity/bootstrap.ts";
export { type Reachability } from "./connectivity/nat_traversal.ts";
export { checkVisibility } from "./connectivity/reachability_probe.ts";
export { type Candidate, type DiscoverCriteria } from "./discovery/candidate.ts";
export { type CapabilityFields } from "./discovery/capability.ts";
export { probeWasmFeatures } from "./discovery/wasm_features.ts";
export { createNetwork, PlasmNetwork } from "./network.ts";
export { type NetworkEventName } from "./network_events.ts";
export { multistreamHeader } from "./patches/optimistic_stream.ts";
export { MAX_STREAM_WINDOW_BYTES } from "./patches/stream_window.ts";
