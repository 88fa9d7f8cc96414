/**
 * Public entry point of the remote/libp2p component.
 * @module
 */
export { findCandidates, serveJobs } from "./network_binding.ts";
export { jobDialer } from "./stream_pool.ts";
