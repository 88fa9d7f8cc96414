/**
 * Public entry point of the remote/client component.
 * @module
 */
export { bytesSource } from "./blob_source.ts";
export { resumeRemote, type ResumeRemoteOptions, runRemote } from "./run_on_peers.ts";
export {
  type DialJobOptions,
  type RemoteCandidate,
  type RemoteJob,
  type RemoteProgress,
  type RemoteResult,
  type RemoteTicket,
} from "./run_types.ts";
export { KeptDuplexes } from "./stream_pool.ts";
