/**
 * Public entry point of the remote component.
 * @module
 */
export {
  describeRemoteJob,
  memoryOutputLimits,
  readRemoteOutput,
  type RemoteJobAttempt,
  type RemoteJobResult,
  runRemoteJob,
  type RunRemoteJobOptions,
} from "./run_remote_job.ts";
