/**
 * plasm as a library: run WASI jobs in a sandbox, describe them by manifests, and prove or verify runs
 * by signed receipts.
 *
 * @example Run a job and verify its receipt
 * ```ts
 * import { ephemeralIdentity, runJob, verifyReceipt } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const stdin = new TextEncoder().encode("Hello, World");
 * const signer = await ephemeralIdentity();
 * const { stdout, receipt } = await runJob(module, { stdin, signer });
 * await verifyReceipt(receipt, { key: signer.publicKey, module, stdin, stdout });
 * assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
 * ```
 *
 * @module
 */
export { ERROR_CODES, type ErrorCode, type ErrorCodeInfo, type Fault } from "./lib/error_codes.ts";
export {
  type JsonValue,
  PlasmError,
  type PlasmErrorJson,
  type PlasmErrorOptions,
} from "./lib/errors.ts";
export { ephemeralIdentity, type Identity, loadOrCreateIdentity } from "./lib/identity.ts";
export { sha256 } from "./lib/job/hash.ts";
export {
  createManifest,
  manifestHash,
  type ManifestOptions,
  parseManifest,
} from "./lib/job/manifest.ts";
export type {
  Hash,
  JobStatus,
  Manifest,
  Priority,
  Receipt,
  ReceiptNode,
  Resources,
  Runtime,
  Usage,
} from "./lib/job/types.ts";
export type { Signer } from "./lib/job/signature.ts";
export {
  type Measured,
  type ReceiptExpectations,
  type ReceiptWindow,
  verifyReceipt,
} from "./lib/job/verify_receipt.ts";
export {
  Executor,
  type ExecutorOptions,
  type ExecutorReadyOptions,
  type ExecutorRunOptions,
} from "./lib/sandbox/executor.ts";
export {
  type RemoteCriteria,
  type RemoteJobAttempt,
  type RemoteJobProgress,
  type RemoteJobResult,
  runRemoteJob,
  type RunRemoteJobOptions,
} from "./lib/protocol/run_remote_job.ts";
export { hashInputs, type JobInputs } from "./lib/sandbox/job_inputs.ts";
export { type Ceilings, DEFAULT_CEILINGS } from "./lib/sandbox/limits.ts";
export {
  type AcquireOptions,
  ExecutorPool,
  type ExecutorPoolOptions,
  type PoolStats,
} from "./lib/sandbox/pool.ts";
export {
  type JobEvent,
  type JobResult,
  runJob,
  type RunJobOptions,
  streamJob,
} from "./lib/sandbox/run_job.ts";
export type { ExecutorSource } from "./lib/sandbox/run.ts";
export type { StdinSource } from "./lib/sandbox/stdin_hash.ts";
export type {
  SandboxEvent,
  SandboxInput,
  SandboxJob,
  SandboxLimits,
  SandboxOutcome,
  SandboxUsage,
} from "./lib/sandbox/types.ts";
export {
  connectDaemon,
  type DaemonAddress,
  DaemonClient,
  type DaemonEvent,
  type DaemonResult,
  type FollowOptions,
  type InputReader,
  type JobDetailJson,
  type JobJson,
  type JobPageJson,
  type JobState,
  type JobTarget,
  type ListOptions,
  type NodeJson,
  type PipeEvent,
  type PipeInput,
  type PipeOptions,
  type ReadinessJson,
  type RequestOptions,
  type SubmitOptions,
  type VersionJson,
} from "./lib/client/mod.ts";
export type {
  ApiEvent,
  DiscoverQueryJson,
  FoundNodeJson,
  JobPriority,
  OutputStream,
  PeerJson,
} from "./lib/api_types.ts";
