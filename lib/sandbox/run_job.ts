/**
 * Runs a job under its manifest and signs its receipt.
 *
 * @module
 */
import { abortError, errorOf, PlasmError } from "../core/errors/mod.ts";
import {
  createJobId,
  createNonce,
  FilesInMemory,
  type Hash,
  Hasher,
  type JobDescription,
  type Manifest,
  manifestHash,
  manifestOf,
  OutputFilesReader,
  type Receipt,
  sha256,
  type Signer,
  signReceipt,
} from "../core/mod.ts";
import { concat, fromHex } from "../util/mod.ts";
import type { InvocationRequest } from "../wasm/invocation/mod.ts";
import { inspectModule, isComponent } from "../wasm/mod.ts";
import { codeLocation, describeTrace } from "./backtrace.ts";
import { Executor } from "./host/mod.ts";
import { compileErrorMessage } from "./ipc/mod.ts";
import { checkInputs, hashInputs, prepareStdin, type StdinSource } from "./job_inputs.ts";
import type { JobExecutor, SandboxEvent, SandboxJob, SandboxOutcome } from "./job_types.ts";
import { type Ceilings, DEFAULT_CEILINGS, limitsOf } from "./limits.ts";
import { receiptFields } from "./receipt_fields.ts";

/** Options of {@linkcode streamJob} and {@linkcode runJob}. */
export interface RunJobOptions extends JobDescription {
  /** Standard input; a manifest cannot bind a {@linkcode StdinSource}. @default {empty} */
  stdin?: ReadableStream<Uint8Array> | StdinSource | Uint8Array | undefined;
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
  /** Stops the job; the call then throws `interrupted`. @default {never} */
  signal?: AbortSignal | undefined;
  /** Runs the job. @default {an executor for this job only} */
  executor?: JobExecutor | undefined;
}

/** Options of {@linkcode executeJob}. */
export interface ExecuteJobOptions extends Omit<RunJobOptions, "manifest"> {
  /** The job's manifest. @default {completed from the other fields} */
  manifest?: Manifest | undefined;
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
  /** Output files by guest path; an empty directory has a path that ends in a slash, and no content. */
  outputs: Map<string, Uint8Array>;
  /** The job's complete manifest, which the receipt names. */
  manifest: Manifest;
  /** The receipt, if there was a signer. */
  receipt: Receipt | undefined;
}

/**
 * Runs a module in the sandbox and yields its events. Consuming slowly applies backpressure; returning early kills
 * the job.
 *
 * @throws {PlasmError} `bad-module`, `bad-manifest`, `bad-input`, `over-limit` or `job-memory` if the job cannot
 * start, `executor` if its process failed, `interrupted` if the signal aborts. A job that ended in any other way has an
 * outcome.
 *
 * @example
 * ```ts
 * import { streamJob } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const stdin = ReadableStream.from([new TextEncoder().encode("Hello, World")]);
 * let output = "";
 * for await (const event of streamJob(module, { stdin })) {
 *   if (event.type === "stdout") output += new TextDecoder().decode(event.data);
 *   if (event.type === "finished") assertEquals(event.outcome.exitCode, 0);
 * }
 * assertEquals(output, "dlroW ,olleH");
 * ```
 */
export async function* streamJob(
  module: Uint8Array,
  options: RunJobOptions = {},
): AsyncGenerator<SandboxEvent, void, void> {
  yield* uninterrupted(streamDescribed(module, options, await describe(module, options)), options);
}

/** A described job: its manifest and the hash of its module. */
interface DescribedJob {
  manifest: Manifest;
  moduleHash: Hash;
}

/** Completes the manifest. */
async function describe(
  module: Uint8Array,
  options: JobDescription & Pick<ExecuteJobOptions, "moduleHash">,
): Promise<DescribedJob> {
  const moduleHash = options.moduleHash ?? await sha256(module);
  const { manifest, inputs } = options;
  const isLacking = inputs !== undefined && manifest?.inputs === undefined;
  return {
    moduleHash,
    manifest: manifestOf(options, {
      module: moduleHash,
      inputs: isLacking ? await hashInputs(inputs) : undefined,
    }),
  };
}

/** Yields a job's events; throws `interrupted` if the signal aborted, instead of the outcome `cancelled`. */
async function* uninterrupted(
  events: AsyncGenerator<SandboxEvent, void, void>,
  { signal }: Pick<RunJobOptions, "signal">,
): AsyncGenerator<SandboxEvent, void, void> {
  try {
    if (signal?.aborted) throw abortError(signal);
    for await (const event of events) {
      if (signal?.aborted && event.type === "finished" && event.outcome.status === "cancelled") {
        throw abortError(signal);
      }
      yield event;
    }
  } catch (error) {
    throw errorOf(error, signal);
  }
}

/**
 * Runs a module as {@linkcode streamJob} does, for callers that want a receipt of a cancelled job, too: a job that the
 * signal stops has the outcome `cancelled`.
 *
 * @throws {PlasmError} as {@linkcode streamJob}
 */
export async function* executeJob(
  module: Uint8Array,
  options: ExecuteJobOptions = {},
): AsyncGenerator<SandboxEvent, void, void> {
  yield* streamDescribed(module, options, await describe(module, options));
}

/** Prefix of a hash before its hex digits. */
const HASH_PREFIX = "sha256:";

async function* streamDescribed(
  module: Uint8Array,
  options: Omit<ExecuteJobOptions, "manifest">,
  { manifest, moduleHash }: DescribedJob,
): AsyncGenerator<SandboxEvent, void, void> {
  const { outputs = [] } = manifest;
  const limits = limitsOf(manifest.resources, { ...DEFAULT_CEILINGS, ...options.ceilings });
  const hashOfManifest = async () => options.manifestHash ?? await manifestHash(manifest);
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
    argv0: manifest.argv0,
    args: manifest.args,
    invoke: manifest.invoke,
    env: manifest.env,
    stdin: stdin.source,
    inputs,
    outputs,
    limits,
    deterministic: manifest.profile === "deterministic"
      ? {
        seed: fromHex(manifest.seed ?? (await hashOfManifest()).slice(HASH_PREFIX.length)),
        epochMs: manifest.epoch_ms ?? 0,
      }
      : undefined,
  };
  const files = new OutputFilesReader(outputs);
  for await (const event of runSandbox(job, options)) {
    if (event.type === "stdout") await stdout.update(event.data);
    if (event.type === "stderr") await stderr.update(event.data);
    if (event.type === "files") await measureFiles(files, event.data);
    if (event.type !== "finished") {
      yield event;
      continue;
    }
    const outcome = await withBacktrace(event.outcome, module);
    const { signer } = options;
    const receipt = signer && await signReceipt(
      receiptFields(outcome, {
        jobId: options.jobId ?? createJobId(),
        nonce: options.nonce ?? createNonce(),
        manifest,
        manifestHash: await hashOfManifest(),
        stdinHash: await stdin.hash(),
        stdout: { bytes: stdout.bytes, hash: await stdout.digest() },
        stderr: { bytes: stderr.bytes, hash: await stderr.digest() },
        outputs: files.files,
      }),
      signer,
    );
    yield { type: "finished", outcome, receipt };
  }
}

/** Measures files of an executor, which a guest may control. */
async function measureFiles(files: OutputFilesReader, data: Uint8Array): Promise<void> {
  try {
    await files.measure(data);
  } catch (error) {
    throw new PlasmError(
      "executor",
      `Executor violated its protocol: ${PlasmError.from(error).message}`,
      { cause: error },
    );
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
  const described = await describe(module, options);
  const files = new FilesInMemory(described.manifest.outputs ?? []);
  for await (const event of uninterrupted(streamDescribed(module, options, described), options)) {
    if (event.type === "stdout" || event.type === "stderr") parts[event.type].push(event.data);
    if (event.type === "files") await files.add(event.data);
    if (event.type === "finished") {
      const { outcome, receipt } = event;
      return {
        outcome,
        receipt,
        manifest: described.manifest,
        stdout: concat(parts.stdout),
        stderr: concat(parts.stderr),
        outputs: files.content,
      };
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
  const { moduleBytes, memoryBytes, fsBytes, fuel } = job.limits;
  // Limits and profile change the module, and therefore what an executor has compiled.
  const profile = job.deterministic === undefined ? "default" : "deterministic";
  const parts = [job.moduleKey, moduleBytes, memoryBytes, profile, fuel ?? "uncounted"];
  const moduleKey = job.moduleKey && parts.join(" ");
  const isCached = moduleKey !== undefined && executor?.hasModule(moduleKey) === true;
  const { bytes, invocation } = isCached && job.invoke === undefined
    ? { bytes: job.module, invocation: undefined }
    : await inspect(job.module, {
      moduleBytes,
      memoryBytes,
      refusesShared: job.deterministic !== undefined,
      invoke: invocationOf(job),
    });
  const inspected = { ...job, module: bytes, moduleKey, invocation };
  if (executor !== undefined) return yield* executor.run(inspected, { signal });
  const own = new Executor({ maxMemoryBytes: memoryBytes + fsBytes });
  // `await using` in a generator is lost in the compiled program: see scripts/compile/using_test.ts.
  try {
    yield* own.run(inspected, { signal });
  } finally {
    await own.kill();
  }
}

/** Describes the stack of a job that trapped by the debug information of its module. */
async function withBacktrace(
  { trace, ...outcome }: SandboxOutcome,
  module: Uint8Array,
): Promise<SandboxOutcome> {
  if (trace === undefined || trace.length === 0) return outcome;
  const backtrace = await describeTrace(module, trace);
  const innermost = backtrace[0];
  const at = innermost === undefined ? "" : ` at ${codeLocation(innermost)}`;
  return { ...outcome, message: `${outcome.message}${at}`, backtrace };
}

/** The parts of a manifest that decide whether a module is refused. */
type ModuleTerms = Pick<Manifest, "resources" | "profile" | "invoke" | "args">;

/** The call that a job asks for, if it does. */
function invocationOf(
  { invoke, args }: { invoke?: string | undefined; args: readonly string[] },
): InvocationRequest | undefined {
  return invoke === undefined ? undefined : { name: invoke, args };
}

async function inspectFor(
  module: Uint8Array,
  { resources, profile, ...job }: ModuleTerms,
): Promise<Uint8Array<ArrayBuffer>> {
  const { bytes } = await inspect(module, {
    moduleBytes: module.length,
    memoryBytes: resources.memory_mb * 2 ** 20,
    refusesShared: profile === "deterministic",
    invoke: invocationOf(job),
  });
  return bytes;
}

/** What an inspection returns of a module or component. */
type InspectedCode = Pick<ReturnType<typeof inspectModule>, "bytes" | "invocation">;

/** Inspects a module or component, and lowers its limits. */
async function inspect(
  module: Uint8Array,
  limits: Parameters<typeof inspectModule>[1],
): Promise<InspectedCode> {
  if (!isComponent(module)) return inspectModule(module, limits);
  const { inspectComponent } = await import("../wasm/component/mod.ts");
  return inspectComponent(module, limits);
}

/** The core modules of what was inspected. */
async function coreModules(bytes: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>[]> {
  if (!isComponent(bytes)) return [bytes];
  const { coreModulesOf, linkInspected } = await import("../wasm/component/mod.ts");
  return coreModulesOf(bytes, linkInspected(bytes));
}

/**
 * Refuses a module by its sections alone: it is no WASI command, or starts above the job's limits. Function bodies are
 * not validated, which can take the engine gigabytes.
 *
 * @throws {PlasmError} `bad-module`; `job-memory` and `over-limit` as {@linkcode streamJob}
 */
export async function checkModuleSections(
  module: Uint8Array,
  manifest: ModuleTerms,
): Promise<void> {
  await inspectFor(module, manifest);
}

/**
 * Refuses a module that a local run refuses, with the same error: what no node can run is not sent to one.
 *
 * @throws {PlasmError} `bad-module`; `job-memory` and `over-limit` as {@linkcode streamJob}
 */
export async function checkModule(module: Uint8Array, manifest: ModuleTerms): Promise<void> {
  for (const bytes of await coreModules(await inspectFor(module, manifest))) {
    if (manifest.profile === "deterministic") {
      const { checkDeterministicCode } = await import("../wasm/reorder/mod.ts");
      checkDeterministicCode(bytes);
    }
    if (WebAssembly.validate(bytes)) continue;
    try {
      await WebAssembly.compile(bytes);
    } catch (error) {
      throw new PlasmError("bad-module", compileErrorMessage(error));
    }
  }
}
