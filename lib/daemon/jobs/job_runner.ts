/**
 * Runs one dequeued job and persists its result. Every path ends in a final state or re-queues the job.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { EMPTY_HASH, type Receipt, type Signer, signReceipt } from "../../core/mod.ts";
import { type Executor, lendOutput } from "../../sandbox/host/mod.ts";
import {
  type executeJob,
  receiptFields,
  type SandboxEvent,
  type SandboxOutcome,
  type StdinSource,
} from "../../sandbox/mod.ts";
import type {
  JobEnd,
  JobRecord,
  JobStore,
  JobTarget,
  OutputChunk,
  OutputStream,
} from "../store/mod.ts";
import { delay } from "../../util/async/mod.ts";
import { OutputWriter } from "./output_batcher.ts";
import type { Logger } from "@logtape/logtape";

/** Connection to the client of a piped job. */
export interface JobPipe {
  /** Standard input from the client. */
  readonly stdin: StdinSource;
  /** Reports the start; the client may send input from now on. */
  started(): void;
  /** Shortens the deadline for reading the remaining output because the job is being stopped. */
  hurry(): void;
  /** Sends output with backpressure. Does not fail when the client has disconnected. */
  write(stream: OutputStream, data: Uint8Array): Promise<void>;
}

/** Runs a job in the sandbox; tests may substitute it. */
export type RunJob = typeof executeJob;

/** Event of a job on other nodes. */
export type PeerRunEvent = SandboxEvent & {
  /** Of `finished`: receipts of the other nodes that agree. */
  otherReceipts?: Receipt[] | undefined;
};

/** Runs a job on another node, or on several that must agree; yields only verified output. */
export type RunOnPeer = (
  job: Pick<JobRecord, "id" | "manifest" | "nonce"> & { target: JobTarget },
  content: {
    module: Uint8Array;
    stdin: Uint8Array;
    inputs: Record<string, Uint8Array>;
    signal: AbortSignal;
  },
) => AsyncIterable<PeerRunEvent>;

/** Pool of executors. */
export interface ExecutorSource {
  acquire(options: { signal: AbortSignal; tenant?: string | undefined }): Promise<Executor>;
  release(executor: Executor): void;
}

/** Options of {@linkcode runQueuedJob}. */
export interface RunnerOptions {
  store: JobStore;
  run: RunJob;
  /** @default {none: each run starts an executor} */
  executors?: ExecutorSource | undefined;
  /** Runs jobs that have a target. @default {they fail: the network is off} */
  runOnPeer?: RunOnPeer | undefined;
  signer: Signer;
  log: Logger;
  /** Supplies the input and receives the output, which is then not stored. @default {none: both are stored} */
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

/** Creates the error of a job that ran when its node stopped. */
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
export async function interruptJob(store: JobStore, job: JobRecord): Promise<"queued" | "ended"> {
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
  return "ended";
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
    nondeterminism: [],
    startedAt: at,
    finishedAt: at,
  };
  const fields = receiptFields(outcome, {
    jobId: job.id,
    nonce: job.nonce,
    manifest: job.manifest,
    manifestHash: job.manifestHash,
    stdinHash: job.stdinHash ?? EMPTY_HASH,
    stdout: { bytes: 0, hash: EMPTY_HASH },
    stderr: { bytes: 0, hash: EMPTY_HASH },
    outputs: {},
  });
  const receipt = await signReceipt(fields, options.signer);
  await finish(job, { outcome, receipt }, (...end) => options.store.finish(...end));
}

/** Result of a run and the output that is persisted with it. */
interface Result {
  outcome: SandboxOutcome;
  receipt: Receipt;
  /** Receipts of the other nodes that agree. */
  otherReceipts?: Receipt[] | undefined;
  rest?: readonly OutputChunk[];
  /** Peer that ran the job; null for this node. */
  peer?: string | null;
}

async function finish(
  job: JobRecord,
  result: Result,
  save: PersistResult,
): Promise<void> {
  const { status, exitCode, message, startedAt, finishedAt } = result.outcome;
  await save(
    job,
    {
      state: "finished",
      status,
      exitCode,
      message: message ?? null,
      receipt: result.receipt,
      otherReceipts: result.otherReceipts,
      peer: result.peer ?? null,
      startedAt,
      ...(job.piped ? { stdinHash: result.receipt.claim.stdin_hash } : {}),
      leftBehind: result.outcome.leftBehind,
      backtrace: result.outcome.backtrace,
      finishedAt,
    },
    { type: "finished", at: finishedAt, outcome: { status, exitCode, message } },
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
  throw new PlasmError("disabled", "Cannot run job on another node: the network is off", {
    hint: "Set network.enabled and restart",
  });
}

/** Aborts what reads for a job that has ended. One object: creating a DOMException for each job costs 30 µs. */
const ENDED = new PlasmError("interrupted", "The job has ended");

/** Runs the job and returns its result; all output but the returned rest is stored. */
async function execute(
  job: JobRecord,
  options: RunnerOptions & { signal: AbortSignal },
): Promise<Result> {
  const { store, executors, signal, signer, pipe } = options;
  const module = await store.blobs.read(job.moduleHash, "module");
  const ended = new AbortController();
  const stdin = pipe?.stdin ?? await readStdin(job, store, ended.signal);
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
    // The start is recorded while the job runs; events are published only after it.
    const starting = store.start(job, Date.now());
    starting.catch(() => {}); // persisting the result fails too and reports it
    const events: AsyncIterable<PeerRunEvent> = target !== null
      ? peerRun(options)(
        { id: job.id, manifest: job.manifest, nonce: job.nonce, target },
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
        // A pipe writes output before it requests the next event, and a batch copies it.
        executor: executor && lendOutput(executor),
      });
    for await (const event of events) {
      if (event.type === "started") pipe?.started();
      else if (event.type === "stdout" || event.type === "stderr" || event.type === "files") {
        await (pipe?.write(event.type, event.data) ?? output.push(event.type, event.data));
      } else if (event.type === "finished") {
        const rest = await output.rest();
        if (event.receipt === undefined) break;
        const peer = target === null ? null : event.receipt.run.node.peer_id;
        const { outcome, receipt, otherReceipts } = event;
        return { outcome, receipt, otherReceipts, rest, peer };
      }
    }
    throw new PlasmError("internal", "Unexpected fault: a job ended without a receipt");
  } finally {
    signal.removeEventListener("abort", onAbort);
    output.discard();
    ended.abort(ENDED);
    if (executor !== undefined) executors?.release(executor);
  }
}

/**
 * Runs a job and stores its result, or re-queues it.
 *
 * @returns whether the job finished or was re-queued
 * @throws {PlasmError} `state` if its result could not be persisted
 */
export async function runQueuedJob(
  job: JobRecord,
  options: RunnerOptions & { signal: AbortSignal },
): Promise<"queued" | "ended"> {
  const { store, signal } = options;
  const reason = (): StopReason | undefined => signal.aborted ? signal.reason : undefined;
  const save: PersistResult = (...end) => persistResult(store, end, options);
  try {
    const result = await execute(job, options);
    // A job that finished during shutdown keeps its result.
    if (result.outcome.status === "cancelled" && reason() === "shutdown") {
      if (result.rest !== undefined) await store.output(job, Date.now(), result.rest);
      return await interruptJob(store, store.reload(job) ?? job);
    }
    await finish(job, result, save);
    return "ended";
  } catch (thrown) {
    if (thrown instanceof UnpersistedResultError) throw thrown.cause;
    const error = PlasmError.from(thrown);
    // Flush so that the state read below includes buffered output and the start record.
    await store.sync().catch(() => {});
    const current = store.reload(job);
    if (current === undefined) return "ended";
    const { state, attempts, stdoutBytes, stderrBytes, filesBytes } = current;
    const started = state === "running";
    const silent = stdoutBytes + stderrBytes + filesBytes === 0;
    if (reason() === "shutdown") {
      return started || job.piped ? await interruptJob(store, current) : "queued";
    }
    if (reason() === "cancel" && (!started || (error.code === "interrupted" && silent))) {
      await finishCancelled(job, options);
      return "ended";
    }
    const isRetried = error.code === "executor" && job.idempotent && attempts < MAX_ATTEMPTS &&
      !job.piped;
    if (isRetried && started) {
      options.log.warning("job-retried", { job_id: job.id, error });
      await store.requeue(job, Date.now());
      return "queued";
    }
    await fail(job, error, save);
    return "ended";
  }
}

/** Reads the input files of a job's manifest, by guest path. */
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

/** Standard input above this size is streamed rather than read into memory, in bytes. */
const STREAMED_STDIN_BYTES = 4 * 2 ** 20;

/** Reads standard input of a job; the signal closes its file. */
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
const PERSIST_RETRY_MS = 2000;

/** Thrown when the node stops before a result is persisted; the next start interrupts the job. */
export class UnpersistedResultError extends Error {
  override readonly cause: PlasmError;

  constructor(cause: PlasmError) {
    super(cause.message);
    this.cause = cause;
  }
}

/**
 * Persists a result, retrying while the disk fails.
 *
 * @throws {UnpersistedResultError} if the node stops first
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
      log.error("job-result-not-persisted", { job_id: id, error: fault });
      if (signal.aborted && signal.reason === "shutdown") throw new UnpersistedResultError(fault);
      // An aborted signal would not delay a cancelled job's next attempt.
      await delay(PERSIST_RETRY_MS, signal.aborted ? {} : { signal });
    }
  }
}
