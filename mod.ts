/**
 * plasm as a library: runs WASI jobs in a sandbox, on a daemon or on another node, and verifies their signed receipts.
 *
 * Further entry points: `@plasm/plasm/map` runs a module over many items, `@plasm/plasm/verify` verifies receipts
 * without any Deno API, and `@plasm/plasm/executor` has executors and pools for programs that host many jobs.
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
  type ConfigInEffectJson,
  type DiscoverQueryJson,
  type EventJson,
  type FoundNodeJson,
  type PeerJson,
} from "./lib/api/mod.ts";
export {
  connectDaemon,
  type DaemonAddress,
  DaemonClient,
  type DaemonResult,
  type FollowOptions,
  type JobDetailJson,
  type JobJson,
  type JobPageJson,
  type JobState,
  type JobTarget,
  type ListeningJson,
  type ListOptions,
  type NodeJson,
  type PipeOptions,
  type ReadinessJson,
  type ReloadJson,
  type RequestOptions,
  type SubmitOptions,
  type SubmitterUsageJson,
  type VersionJson,
} from "./lib/client/mod.ts";
export { type FetchedModule, fetchModule, type FetchModuleOptions } from "./lib/modules/mod.ts";
export { type ErrorCode, PlasmError } from "./lib/core/errors/mod.ts";
export {
  createManifest,
  ephemeralIdentity,
  type Hash,
  type Identity,
  type JobDescription,
  type JobEvent,
  type JobInputs,
  type JobOutcome,
  type JobStatus,
  loadOrCreateIdentity,
  type Manifest,
  type ManifestOptions,
  parseManifest,
  type Receipt,
  type ReceiptExpectations,
  sha256,
  type Signer,
  type StackFrame,
  verifyReceipt,
} from "./lib/core/mod.ts";
export {
  type RemoteJobAttempt,
  type RemoteJobResult,
  runRemoteJob,
  type RunRemoteJobOptions,
} from "./lib/remote/mod.ts";
export {
  hashInputs,
  type JobResult,
  rerun,
  type RerunOptions,
  runJob,
  type RunJobOptions,
  streamJob,
} from "./lib/sandbox/mod.ts";
