/**
 * Public entry point of the remote/libp2p component.
 * @module
 */
export { findCandidates, jobDialer, serveJobs } from "./network_binding.ts";
