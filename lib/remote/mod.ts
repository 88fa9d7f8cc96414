/**
 * Public entry point of the remote component.
 * @module
 */
export {
  type RemoteCriteria,
  type RemoteJobAttempt,
  type RemoteJobProgress,
  type RemoteJobResult,
  runRemoteJob,
  type RunRemoteJobOptions,
} from "./run_remote_job.ts";
