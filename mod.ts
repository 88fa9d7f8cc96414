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
export {
  ERROR_CODES,
  type ErrorCode,
  type ErrorCodeInfo,
  type Fault,
} from "./lib/core/errors/mod.ts";
export {
  type JsonValue,
  PlasmError,
  type PlasmErrorJson,
  type PlasmErrorOptions,
} from "./lib/core/errors/mod.ts";
export { ephemeralIdentity, type Identity, loadOrCreateIdentity } from "./lib/core/mod.ts";
export { sha256 } from "./lib/core/mod.ts";
export {
  createManifest,
  manifestHash,
  type ManifestOptions,
  parseManifest,
} from "./lib/core/mod.ts";
export {
  type Hash,
  type JobStatus,
  type Manifest,
  type Priority,
  type Receipt,
  type ReceiptNode,
  type Resources,
  type Runtime,
  type Usage,
} from "./lib/core/mod.ts";
export { type Signer } from "./lib/core/mod.ts";
export {
  type Measured,
  type ReceiptExpectations,
  type ReceiptWindow,
  verifyReceipt,
} from "./lib/core/mod.ts";
export { Executor, type ExecutorOptions } from "./lib/sandbox/host/mod.ts";
export {
  type RemoteCriteria,
  type RemoteJobAttempt,
  type RemoteJobProgress,
  type RemoteJobResult,
  runRemoteJob,
  type RunRemoteJobOptions,
} from "./lib/remote/mod.ts";
export { hashInputs, type JobInputs } from "./lib/sandbox/mod.ts";
export { type Ceilings, DEFAULT_CEILINGS } from "./lib/sandbox/mod.ts";
export {
  type AcquireOptions,
  ExecutorPool,
  type ExecutorPoolOptions,
  type PoolStats,
} from "./lib/sandbox/host/mod.ts";
export { type JobEvent, type JobOutcome } from "./lib/core/mod.ts";
export {
  type JobExecutor,
  type JobExecutorOptions,
  type JobResult,
  runJob,
  type RunJobOptions,
  streamJob,
} from "./lib/sandbox/mod.ts";
export { type StdinSource } from "./lib/sandbox/mod.ts";
export {
  type FileInput,
  type SandboxEvent,
  type SandboxJob,
  type SandboxLimits,
  type SandboxOutcome,
  type SandboxUsage,
} from "./lib/sandbox/mod.ts";
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
export {
  type ApiEvent,
  type DiscoverQueryJson,
  type EventJson,
  type FoundNodeJson,
  type JobPriority,
  type OutputStream,
  type PeerJson,
} from "./lib/api/mod.ts";
