/**
 * Public entry point of the remote/client component.
 * @module
 */
export { type BlobSource, bytesSource } from "./remote_job.ts";
export { resumeOnPeer, type ResumeOnPeerOptions, runOnPeers } from "./run_on_peers.ts";
export {
  type DialJobOptions,
  type RemoteCandidate,
  type RemoteJob,
  type RemoteOutput,
  type RemoteResult,
  type ResumeTicket,
  type RunOnPeersOptions,
} from "./remote_job.ts";
