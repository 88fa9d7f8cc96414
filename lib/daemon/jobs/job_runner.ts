/**
 * Runs one dequeued job and persists its result. Every path ends in a final state or re-queues the job.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { EMPTY_HASH, type Receipt, type Signer, signReceipt } from "../../core/mod.ts";
import { type Executor, lendOutput } from "../../sandbox/host/mod.ts";
import {
  localRuntime,
  receiptOutcome,
  type SandboxEvent,
  type SandboxOutcome,
  type streamJob,
} from "../../sandbox/mod.ts";
import type { JobEnd, JobRecord, JobStore, JobTarget, OutputChunk } from "../store/mod.ts";
import type { JobPipe } from "./active_job.ts";
import { OutputWriter } from "./output_batcher.ts";
import type { Logger } from "@logtape/logtape";

/** Runs a job in the sandbox; a test may put another in its place. */
export type RunJob = typeof streamJob;

/** Runs a job on another node. What it yields has been verified. */
export type RunOnPeer = (
  job: Pick<JobRecord, "manifest" | "nonce"> & { target: JobTarget },
  content: {
    module: Uint8Array;
    stdin: Uint8Array;
    inputs: Record<string, Uint8Array>;
    signal: AbortSignal;
  },
) => AsyncIterable<SandboxEvent>;

/** Where executors come from. */
export interface ExecutorSource {
  acquire(options: { signal: AbortSignal; tenant?: string | undefined }): Promise<Executor>;
  release(executor: Executor): void;
}

/** What running needs. */
export interface RunnerOptions {
  store: JobStore;
  run: RunJob;
  /** @default {none: the run starts its own} */
  executors?: ExecutorSource | undefined;
  /** Runs jobs that have a target. @default {they fail: the network is off} */
  runOnPeer?: RunOnPeer | undefined;
  signer: Signer;
  log: Logger;
  /** Resolves once the job is stored. @default {it is} */
  saved?: Promise<void> | undefined;
  /** Gives the job its input and takes its output, which then is not kept. @default {the store} */
  pipe?: JobPipe | undefined;
  /** Whether an executor may serve further jobs of the same submitter. */
  sharing: () => boolean;
}

/** Why a running job is stopped. */
export type StopReason = "cancel" | "shutdown";

/**
 * Maximum starts of an idempotent job: one that crashes the node must not restart forever.
 */
export const MAX_ATTEMPTS = 3;

/** The error of a job whose node stopped while it ran. */
export function interruptedError(job: JobRecord): PlasmError {
  if (job.piped) {
    return new PlasmError("interrupted", "The node stopped before the piped job finished", {
      hint: "Run it again: its input and output are not stored",
    });
  }
  return new PlasmError(
    "interrupted",
    job.idempotent
      ? `The node stopped ${MAX_ATTEMPTS} times while the job ran`
      : "The node stopped while the job ran; it may have run in part",
    { hint: "Submit it again; a manifest with idempotent: true allows an automatic re-run" },
  );
}

/** Re-queues or ends a job that was running when the node stopped. */
export async function interruptJob(store: JobStore, job: JobRecord): Promise<"queued" | "over"> {
  const at = Date.now();
  if (job.idempotent && job.attempts < MAX_ATTEMPTS && !job.piped) {
    await store.requeue(job, at);
    return "queued";
  }
  const end: JobEnd = {
    state: "interrupted",
    error: interruptedError(job).toJSON(),
    finishedAt: at,
  };
  await store.finish(job, end, { type: "interrupted", at, rerun: false });
  return "over";
}

/** Finishes a job cancelled before its start, with a receipt. */
export async function finishCancelled(
  job: JobRecord,
  options: Pick<RunnerOptions, "store" | "signer">,
): Promise<void> {
  const at = Date.now();
  const outcome: SandboxOutcome = {
    status: "cancelled",
    exitCode: null,
    message: "Cancelled before it started",
    usage: { wallTimeMs: 0, cpuTimeMs: 0, memoryPeakBytes: 0 },
    startedAt: at,
    finishedAt: at,
  };
  const receipt = await signReceipt({
    job_id: job.id,
    nonce: job.nonce,
    manifest_hash: job.manifestHash,
    module_hash: job.moduleHash,
    stdin_hash: job.stdinHash ?? EMPTY_HASH,
    stdout_bytes: 0,
    stdout_hash: EMPTY_HASH,
    stderr_bytes: 0,
    stderr_hash: EMPTY_HASH,
    ...receiptOutcome(outcome),
    runtime: localRuntime(),
  }, options.signer);
  await finish(job, { outcome, receipt }, (...end) => options.store.finish(...end));
}

/** Result of a run and its unsaved output. */
interface Result {
  outcome: SandboxOutcome;
  receipt: Receipt;
  rest?: readonly OutputChunk[];
  /** Peer that ran it. */
  peer?: string | null;
}

async function finish(
  job: JobRecord,
  result: Result,
  save: PersistResult,
): Promise<void> {
  const { status, exitCode, message = null, startedAt, finishedAt } = result.outcome;
  await save(
    job,
    {
      state: "finished",
      status,
      exitCode,
      message,
      receipt: result.receipt,
      peer: result.peer ?? null,
      startedAt,
      ...(job.piped ? { stdinHash: result.receipt.stdin_hash } : {}),
      finishedAt,
    },
    { type: "finished", at: finishedAt, status, exitCode, message },
    result.rest,
  );
}

async function fail(job: JobRecord, error: PlasmError, save: PersistResult): Promise<void> {
  const at = Date.now();
  const json = error.toJSON();
  await save(job, { state: "failed", error: json, finishedAt: at }, {
    type: "failed",
    at,
    error: json,
  });
}

function peerRun({ runOnPeer }: RunnerOptions): RunOnPeer {
  if (runOnPeer !== undefined) return runOnPeer;
  throw new PlasmError("no-peer", "Cannot run job on another node: the network is off", {
    hint: "Set network.enabled and restart",
    retryable: false,
  });
}

/** Runs the job and returns its result; all output but the returned rest is stored. */
async function execute(
  job: JobRecord,
  options: RunnerOptions & { signal: AbortSignal },
): Promise<Result> {
  const { store, executors, signal, signer, pipe } = options;
  const module = await store.blobs.read(job.moduleHash, "module");
  const over = new AbortController();
  const stdin = pipe?.stdin ?? await readStdin(job, store, over.signal);
  const inputs = await readInputs(job, store);
  const { target } = job;
  const executor = target !== null ? undefined : await executors?.acquire({
    signal,
    tenant: options.sharing() ? job.submitter : undefined,
  });
  const output = new OutputWriter((chunks) => store.output(job, Date.now(), chunks));
  const onAbort = (): void => pipe?.hurry();
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  try {
    // Written while the job runs; events are published only after the start record.
    const starting = store.start(job, Date.now(), {
      durability: options.saved === undefined ? "fsync" : "buffered",
    });
    starting.catch(() => {}); // saving the result fails too and reports it
    const events = target !== null
      ? peerRun(options)(
        { manifest: job.manifest, nonce: job.nonce, target },
        { module, stdin: stdin as Uint8Array, inputs, signal },
      )
      : options.run(module, {
        manifest: job.manifest,
        stdin,
        inputs,
        ceilings: job.ceilings,
        signer,
        nonce: job.nonce,
        jobId: job.id,
        moduleHash: job.moduleHash,
        manifestHash: job.manifestHash,
        ...(job.stdinHash === null ? {} : { stdinHash: job.stdinHash }),
        signal,
        // A pipe writes output before it requests the next event.
        executor: executor && pipe ? lendOutput(executor) : executor,
      });
    for await (const event of events) {
      if (event.type === "started") pipe?.started();
      else if (event.type === "stdout" || event.type === "stderr") {
        await (pipe?.write(event.type, event.data) ?? output.push(event.type, event.data));
      } else if (event.type === "finished") {
        const rest = await output.rest();
        if (event.receipt === undefined) break;
        const peer = target === null ? null : event.receipt.node.peer_id;
        return { outcome: event.outcome, receipt: event.receipt, rest, peer };
      }
    }
    throw new PlasmError("internal", "Unexpected fault: a job ended without a receipt");
  } finally {
    signal.removeEventListener("abort", onAbort);
    output.discard();
    over.abort("over");
    if (executor !== undefined) executors?.release(executor);
  }
}

async function wasSaved({ saved }: RunnerOptions): Promise<boolean> {
  try {
    await saved;
    return true;
  } catch {
    return false;
  }
}

/**
 * Runs a job and stores its result, or re-queues it.
 *
 * @returns whether the job finished or was re-queued
 * @throws {PlasmError} `state` when its result could not be saved
 */
export async function runQueuedJob(
  job: JobRecord,
  options: RunnerOptions & { signal: AbortSignal },
): Promise<"queued" | "over"> {
  const { store, signal } = options;
  const reason = (): StopReason | undefined => signal.aborted ? signal.reason : undefined;
  const save: PersistResult = async (...end) => {
    if (job.seq === 0) {
      // Job and result are committed together; the submitter receives the error when that fails.
      try {
        return await store.finish(...end);
      } catch {
        if (!await wasSaved(options)) return;
      }
    }
    await persistResult(store, end, options);
  };
  const current = (): JobRecord => store.get(job.id) ?? job;
  try {
    const result = await execute(job, options);
    // A job that finished during shutdown keeps its result.
    if (result.outcome.status === "cancelled" && reason() === "shutdown") {
      if (result.rest !== undefined) await store.output(job, Date.now(), result.rest);
      return await interruptJob(store, current());
    }
    await finish(job, result, save);
    return "over";
  } catch (thrown) {
    if (thrown instanceof UnsavedResultError) throw thrown.cause;
    const error = PlasmError.from(thrown);
    // Flush so that the state read below includes buffered output and the start record.
    await store.sync().catch(() => {});
    if (job.seq === 0) return "over";
    const { state, attempts, stdoutBytes, stderrBytes } = current();
    const started = state === "running";
    const silent = stdoutBytes + stderrBytes === 0;
    if (reason() === "shutdown") {
      return started || job.piped ? await interruptJob(store, current()) : "queued";
    }
    if (reason() === "cancel" && (!started || (error.code === "interrupted" && silent))) {
      await finishCancelled(job, options);
      return "over";
    }
    const again = error.code === "executor" && job.idempotent && attempts < MAX_ATTEMPTS &&
      !job.piped;
    if (again && started) {
      options.log.warning("job-retried", { job_id: job.id, error });
      await store.requeue(job, Date.now());
      return "queued";
    }
    await fail(job, error, save);
    return "over";
  }
}

/** Files that the job's manifest names, by guest path. */
export async function readInputs(
  job: JobRecord,
  store: JobStore,
): Promise<Record<string, Uint8Array>> {
  const inputs: Record<string, Uint8Array> = {};
  for (const [path, hash] of Object.entries(job.manifest.inputs ?? {})) {
    inputs[path] = hash === EMPTY_HASH ? new Uint8Array() : await store.blobs.read(hash, "input");
  }
  return inputs;
}

/** Standard input above this is not held in memory, in bytes. */
const STREAMED_STDIN_BYTES = 4 * 2 ** 20;

/** Standard input of a job; the signal closes what is open of it. */
export async function readStdin(
  job: JobRecord,
  store: JobStore,
  signal: AbortSignal,
): Promise<Uint8Array | ReadableStream<Uint8Array>> {
  if (job.stdin !== null) return job.stdin;
  const { stdinHash } = job;
  if (stdinHash === null || stdinHash === EMPTY_HASH) return new Uint8Array();
  const { size } = store.blobs.info(stdinHash) ?? { size: 0 };
  if (size > STREAMED_STDIN_BYTES && job.target === null) {
    return await store.blobs.stream(stdinHash, { what: "input", signal });
  }
  return await store.blobs.read(stdinHash, "input");
}

/** Persists a result; see {@linkcode JobStore.finish}. */
export type PersistResult = (...end: Parameters<JobStore["finish"]>) => Promise<void>;

/** Delay before a failed write is retried, in milliseconds. */
const AGAIN_MS = 2000;

/** The node stopped before a result was saved; the job is interrupted at the next start. */
export class UnsavedResultError extends Error {
  override readonly cause: PlasmError;

  constructor(cause: PlasmError) {
    super(cause.message);
    this.cause = cause;
  }
}

/**
 * Persists a result, retrying while the disk fails.
 *
 * @throws {UnsavedResultError} when the node stops meanwhile
 */
export async function persistResult(
  store: JobStore,
  end: Parameters<JobStore["finish"]>,
  options: { log: Logger; signal: AbortSignal },
): Promise<void> {
  const { log, signal } = options;
  const [{ id }] = end;
  while (true) {
    try {
      return await store.finish(...end);
    } catch (error) {
      const fault = PlasmError.from(error);
      log.error("job-result-not-saved", { job_id: id, error: fault });
      if (signal.aborted && signal.reason === "shutdown") throw new UnsavedResultError(fault);
      await pause(signal);
    }
  }
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, AGAIN_MS);
    signal.addEventListener("abort", done);
  });
}
