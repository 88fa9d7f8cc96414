/**
 * Public entry point of the remote/client component.
 * @module
 */
export { bytesSource } from "./remote_job.ts";
export { resumeOnPeer, type ResumeOnPeerOptions, runOnPeers } from "./run_on_peers.ts";
export {
  type DialJobOptions,
  type RemoteCandidate,
  type RemoteJob,
  type RemoteProgress,
  type RemoteResult,
  type ResumeTicket,
} from "./remote_job.ts";
export { StreamPool } from "./stream_pool.ts";
