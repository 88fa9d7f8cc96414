/**
 * Public entry point of the remote/libp2p component.
 * @module
 */
export { askKnownNodes, type AskKnownNodesOptions } from "./known_candidates.ts";
export {
  askNamedNode,
  findCandidates,
  type FindCandidatesOptions,
  serveJobs,
} from "./network_binding.ts";
export { jobDialer } from "./stream_pool.ts";
