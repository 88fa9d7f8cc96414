/**
 * Public entry point of the remote/client component.
 * @module
 */
export { bytesSource } from "./blob_source.ts";
export { resumeOnPeer, type ResumeOnPeerOptions, runOnPeers } from "./run_on_peers.ts";
export {
  type DialJobOptions,
  type RemoteCandidate,
  type RemoteJob,
  type RemoteProgress,
  type RemoteResult,
  type ResumeTicket,
} from "./run_types.ts";
export { StreamPool } from "./stream_pool.ts";
