/**
 * Runs a job under its manifest and signs its receipt.
 *
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";
import {
  createJobId,
  createManifest,
  createNonce,
  type Hash,
  Hasher,
  type Manifest,
  manifestHash,
  type Receipt,
  receiptTimes,
  type Runtime,
  RUNTIME_NAME,
  sha256,
  type Signer,
  signReceipt,
  VERSION,
} from "../core/mod.ts";
import { joinBytes } from "../util/mod.ts";
import { inspectModule } from "../wasm/mod.ts";
import { Executor } from "./host/mod.ts";
import {
  checkInputs,
  hashInputs,
  type JobInputs,
  prepareStdin,
  type StdinSource,
} from "./job_inputs.ts";
import type { JobExecutor, SandboxEvent, SandboxJob, SandboxOutcome } from "./job_types.ts";
import { type Ceilings, DEFAULT_CEILINGS, limitsOf } from "./limits.ts";

/** Options of {@linkcode streamJob} and {@linkcode runJob}. */
export interface RunJobOptions {
  /**
   * The job's manifest.
   * @default {createManifest() with the hashes of module and inputs}
   */
  manifest?: Manifest | undefined;
  /** Standard input; a manifest cannot bind a {@linkcode StdinSource}. @default {empty} */
  stdin?: ReadableStream<Uint8Array> | StdinSource | Uint8Array | undefined;
  /** Files that the manifest names. @default {none} */
  inputs?: JobInputs | undefined;
  /**
   * Maximum resources of a job.
   * @default {DEFAULT_CEILINGS}
   */
  ceilings?: Partial<Ceilings> | undefined;
  /** Signs the receipt. @default {no receipt} */
  signer?: Signer | undefined;
  /** The submitter's nonce for the receipt. @default {random} */
  nonce?: string | undefined;
  /** The job's id. @default {random} */
  jobId?: string | undefined;
  /** Cancels the job. @default {never} */
  signal?: AbortSignal | undefined;
  /** Runs the job. @default {an executor for this job only} */
  executor?: JobExecutor | undefined;
  /** The module's hash, if the caller has just computed it. @default {computed} */
  moduleHash?: Hash | undefined;
  /**
   * The hash of a stream as standard input, if the caller has computed it before. The job then starts before the
   * stream has been read, and ends with an error instead of a receipt if the stream differs.
   * @default {a stream that the manifest binds is read before the job starts}
   */
  stdinHash?: Hash | undefined;
  /** The manifest's hash, if the caller has just computed it. @default {computed} */
  manifestHash?: Hash | undefined;
}

/** A job that has ended, with its output. */
export interface JobResult {
  /** How it ended and what it used. */
  outcome: SandboxOutcome;
  /** Standard output. */
  stdout: Uint8Array;
  /** Standard error. */
  stderr: Uint8Array;
  /** The receipt, if there was a signer. */
  receipt: Receipt | undefined;
}

/**
 * Runs a module in the sandbox and yields its events. Consuming slowly applies backpressure; returning early kills
 * the job.
 *
 * @throws {PlasmError} `bad-module`, `bad-manifest`, `bad-input`, `over-limit` or `job-memory` if the job cannot
 * start, `executor` if its process failed. A job that ended in any other way has an outcome.
 */
export async function* streamJob(
  module: Uint8Array,
  options: RunJobOptions = {},
): AsyncGenerator<SandboxEvent, void, void> {
  const moduleHash = options.moduleHash ?? await sha256(module);
  const manifest = options.manifest ?? createManifest({
    module_hash: moduleHash,
    ...(options.inputs === undefined ? {} : { inputs: await hashInputs(options.inputs) }),
  });
  if (manifest.module_hash !== moduleHash) {
    throw new PlasmError(
      "bad-module",
      `Cannot run module: the manifest names ${manifest.module_hash}, its bytes hash to ${moduleHash}`,
    );
  }
  const limits = limitsOf(manifest.resources, { ...DEFAULT_CEILINGS, ...options.ceilings });
  const inputs = await checkInputs(manifest, options.inputs ?? {});
  const stdin = await prepareStdin(options.stdin, {
    bound: manifest.stdin_hash,
    known: options.stdinHash,
  });
  const stdout = new Hasher();
  const stderr = new Hasher();
  const job: SandboxJob = {
    module,
    moduleKey: moduleHash,
    args: manifest.args,
    env: manifest.env,
    stdin: stdin.source,
    inputs,
    limits,
  };
  for await (const event of runSandbox(job, options)) {
    if (event.type === "stdout") await stdout.update(event.data);
    if (event.type === "stderr") await stderr.update(event.data);
    if (event.type !== "finished") {
      yield event;
      continue;
    }
    const { outcome } = event;
    const { signer } = options;
    const receipt = signer && await signReceipt({
      job_id: options.jobId ?? createJobId(),
      nonce: options.nonce ?? createNonce(),
      manifest_hash: options.manifestHash ?? await manifestHash(manifest),
      module_hash: moduleHash,
      stdin_hash: await stdin.hash(),
      stdout_bytes: stdout.bytes,
      stdout_hash: await stdout.digest(),
      stderr_bytes: stderr.bytes,
      stderr_hash: await stderr.digest(),
      ...receiptOutcome(outcome),
      runtime: localRuntime(),
    }, signer);
    yield { type: "finished", outcome, receipt };
  }
}

/**
 * Runs a module in the sandbox and collects its output.
 *
 * @throws {PlasmError} as {@linkcode streamJob}
 *
 * @example
 * ```ts
 * import { runJob } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const stdin = new TextEncoder().encode("Hello, World");
 * const { outcome, stdout } = await runJob(module, { stdin });
 * assertEquals(outcome.status, "exited");
 * assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
 * ```
 */
export async function runJob(module: Uint8Array, options: RunJobOptions = {}): Promise<JobResult> {
  const parts = { stdout: [] as Uint8Array[], stderr: [] as Uint8Array[] };
  for await (const event of streamJob(module, options)) {
    if (event.type === "stdout" || event.type === "stderr") parts[event.type].push(event.data);
    if (event.type === "finished") {
      const { outcome, receipt } = event;
      return { outcome, receipt, stdout: joinBytes(parts.stdout), stderr: joinBytes(parts.stderr) };
    }
  }
  throw new PlasmError("internal", "Job ended without a result");
}

/** Options of {@linkcode runSandbox}. */
export interface RunSandboxOptions {
  /** Cancels the job, which then finishes with status `cancelled`. @default {never} */
  signal?: AbortSignal | undefined;
  /** Runs the job. @default {an executor for this job only} */
  executor?: JobExecutor | undefined;
}

/**
 * Inspects a job's module and runs it in an executor. Consuming slowly applies backpressure; returning early kills
 * the job.
 *
 * @throws {PlasmError} `bad-module`, `job-memory` or `bad-input` if the job cannot start, `executor` if its process
 * failed
 */
export async function* runSandbox(
  job: SandboxJob,
  { signal, executor }: RunSandboxOptions = {},
): AsyncGenerator<SandboxEvent, void, void> {
  const { moduleBytes, memoryBytes, fsBytes } = job.limits;
  // These limits change the inspected module, and therefore what an executor has compiled.
  const moduleKey = job.moduleKey && `${job.moduleKey} ${moduleBytes} ${memoryBytes}`;
  const isCached = moduleKey !== undefined && executor?.hasModule(moduleKey) === true;
  const { bytes } = isCached
    ? { bytes: job.module }
    : inspectModule(job.module, { moduleBytes, memoryBytes });
  const inspected = { ...job, module: bytes, moduleKey };
  if (executor !== undefined) return yield* executor.run(inspected, { signal });
  const own = new Executor({ maxMemoryBytes: memoryBytes + fsBytes });
  // `await using` in a generator is lost in the compiled program: see scripts/compile/using_test.ts.
  try {
    yield* own.run(inspected, { signal });
  } finally {
    await own.kill();
  }
}

/** The fields of a receipt that describe how a job ended. */
export function receiptOutcome(
  outcome: SandboxOutcome,
): Pick<Receipt, "status" | "exit_code" | "usage" | "started_at" | "finished_at"> {
  const { startedAt, usage } = outcome;
  const times = receiptTimes({ startedAt, wallTimeMs: usage.wallTimeMs });
  return {
    status: outcome.status,
    exit_code: outcome.exitCode,
    usage: {
      wall_time_ms: times.wall_time_ms,
      cpu_time_ms: usage.cpuTimeMs,
      memory_peak_bytes: usage.memoryPeakBytes,
    },
    started_at: times.started_at,
    finished_at: times.finished_at,
  };
}

/** Program, engine and processor architecture of this node, for receipts and capability documents. */
export function localRuntime(): Runtime {
  return {
    name: RUNTIME_NAME,
    version: VERSION,
    engine: `v8 ${Deno.version.v8}`,
    arch: Deno.build.arch,
  };
}
