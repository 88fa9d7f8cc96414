/**
 * Runs a job as its documents describe it, and proves the run by a signed receipt.
 * @module
 */
import { joinBytes } from "../util/mod.ts";
import {
  createJobId,
  createManifest,
  createNonce,
  EMPTY_HASH,
  type Hash,
  Hasher,
  type Manifest,
  manifestHash,
  type Receipt,
  receiptTimes,
  sha256,
  type Signer,
  signReceipt,
} from "../core/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { Executor } from "./host/mod.ts";
import { checkInputs, expectHash, hashInputs, type JobInputs } from "./job_inputs.ts";
import { type Ceilings, DEFAULT_CEILINGS, limitsOf } from "./limits.ts";
import { type ExecutorSource, runSandbox } from "./run_module.ts";
import { localRuntime } from "./runtime.ts";
import { HashedStdin, type StdinSource } from "./stdin_hash.ts";
import type { SandboxOutcome } from "./job_types.ts";

/** Options of {@linkcode streamJob} and {@linkcode runJob}. */
export interface RunJobOptions {
  /**
   * What the job is and may use.
   * @default {createManifest() with the hashes of module and inputs}
   */
  manifest?: Manifest | undefined;
  /** Standard input; one that hashes itself is not to be bound by the manifest. @default {empty} */
  stdin?: ReadableStream<Uint8Array> | StdinSource | Uint8Array | undefined;
  /** Files that the manifest names. @default {none} */
  inputs?: JobInputs | undefined;
  /**
   * The most that a job may ask for here.
   * @default {DEFAULT_CEILINGS}
   */
  ceilings?: Partial<Ceilings> | undefined;
  /** Who signs the receipt. @default {nobody: there is no receipt} */
  signer?: Signer | undefined;
  /** The caller's nonce for the receipt. @default {a random one} */
  nonce?: string | undefined;
  /** The job's name. @default {a random one} */
  jobId?: string | undefined;
  /** Cancels the job. @default {never} */
  signal?: AbortSignal | undefined;
  /** An executor, or who gives one for a job that may use so many bytes. @default {one of its own} */
  executor?: Executor | ExecutorSource | undefined;
  /** The module's hash, by who has just computed it. @default {computed} */
  moduleHash?: Hash | undefined;
  /**
   * What a stream as stdin hashes to, by who has hashed it before: the job may begin with its first
   * bytes, and has no receipt when others came.
   * @default {a stream that the manifest binds is read whole first}
   */
  stdinHash?: Hash | undefined;
  /** The manifest's hash, likewise. @default {computed} */
  manifestHash?: Hash | undefined;
  /**
   * Whether output is overwritten once the event after it is asked for, which saves its copy; only of
   * {@linkcode streamJob}.
   * @default {false}
   */
  lendsOutput?: boolean | undefined;
}

/** What happens to a job, in order: started, any output, finished. */
export type JobEvent =
  | { type: "started"; at: number }
  | { type: "stdout"; data: Uint8Array }
  | { type: "stderr"; data: Uint8Array }
  | { type: "finished"; outcome: SandboxOutcome; receipt: Receipt | undefined };

/** A job that has ended, with all it wrote. */
export interface JobResult {
  /** How it ended and what it used. */
  outcome: SandboxOutcome;
  /** All of standard output. */
  stdout: Uint8Array;
  /** All of standard error. */
  stderr: Uint8Array;
  /** Signed where there was a signer. */
  receipt: Receipt | undefined;
}

/**
 * Runs a module in the sandbox and yields what happens as it happens. Who does not pull holds the
 * job back; who leaves the loop kills it.
 *
 * @throws {PlasmError} `bad-module`, `bad-manifest`, `bad-input`, `over-limit` or `job-memory` when
 * the job cannot begin, `executor` when the process around it failed. How the job itself ended is
 * in the outcome.
 */
export async function* streamJob(
  module: Uint8Array,
  options: RunJobOptions = {},
): AsyncGenerator<JobEvent, void, void> {
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
  const events = runSandbox(
    {
      module,
      moduleKey: moduleHash,
      args: manifest.args,
      env: manifest.env,
      stdin: stdin.source,
      inputs,
      limits,
    },
    {
      signal: options.signal,
      executor: options.executor,
      lendsOutput: options.lendsOutput,
    },
  );
  for await (const event of events) {
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
 * Runs a module in the sandbox to its end and collects what it wrote.
 *
 * @throws {PlasmError} As {@linkcode streamJob}.
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
  for await (const event of streamJob(module, { ...options, lendsOutput: false })) {
    if (event.type === "stdout" || event.type === "stderr") parts[event.type].push(event.data);
    if (event.type === "finished") {
      const { outcome, receipt } = event;
      return { outcome, receipt, stdout: joinBytes(parts.stdout), stderr: joinBytes(parts.stderr) };
    }
  }
  throw new PlasmError("internal", "Unexpected fault: a job ended without an end");
}

/** The fields of a receipt that say how a job ended. */
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

interface PreparedStdin {
  source: ReadableStream<Uint8Array> | Uint8Array | undefined;
  hash(): Promise<Hash>;
}

async function prepareStdin(
  stdin: RunJobOptions["stdin"],
  { bound: expected, known }: { bound: Hash | undefined; known: Hash | undefined },
): Promise<PreparedStdin> {
  if (stdin !== undefined && "digest" in stdin) {
    if (expected === undefined) return { source: stdin.stream, hash: () => stdin.digest() };
    throw new PlasmError(
      "bad-manifest",
      `Cannot pipe standard input: the manifest names ${expected}, which only its end could show`,
    );
  }
  let source = stdin;
  if (known !== undefined && source instanceof ReadableStream) {
    const hashed = new HashedStdin(source, { toEnd: true });
    const hash = async (): Promise<Hash> => {
      const found = await hashed.digest();
      if (found === known) return found;
      throw new PlasmError("state", `Cannot prove run: stdin was ${found}, it was to be ${known}`, {
        hint: "Send the input again, and check the disk",
        details: { known, found },
      });
    };
    return { source: hashed.stream, hash };
  }
  if (expected !== undefined) {
    // The manifest binds standard input, so nothing may run before all of it has been seen.
    source = source instanceof ReadableStream ? await readAll(source) : source ?? new Uint8Array();
    await expectHash(source, expected, "standard input");
  }
  if (source instanceof ReadableStream) {
    const hashed = new HashedStdin(source);
    return { source: hashed.stream, hash: () => hashed.digest() };
  }
  const bytes = source;
  return {
    source: bytes,
    hash: async () => bytes === undefined ? EMPTY_HASH : await sha256(bytes),
  };
}

/** Standard input that must be whole before the job may start is held in memory, up to this. */
const MAX_BOUND_STDIN_BYTES = 128 * 2 ** 20;

async function readAll(stream: ReadableStream<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > MAX_BOUND_STDIN_BYTES) {
      throw new PlasmError(
        "too-large",
        `Cannot bind standard input: more than ${MAX_BOUND_STDIN_BYTES} bytes`,
      );
    }
    parts.push(chunk);
  }
  return joinBytes(parts);
}
