/**
 * Runs a job on the first node that accepts it, with failover to the next, and verifies the result.
 *
 * @module
 */
import {
  type JobEvent,
  loadNativeHash,
  MAX_ARCHIVE_HEADERS_BYTES,
  type StackFrame,
} from "../../core/mod.ts";
import { abortError, ERROR_CODES, errorOf, PlasmError } from "../../core/errors/mod.ts";
import { delay, retry } from "../../util/async/mod.ts";
import { describeStack } from "../../sandbox/mod.ts";
import { RemoteAttempt } from "./attempt.ts";
import { Disconnected, SILENCE_MS, Stated } from "../wire/mod.ts";
import type { PeerOutcome } from "../../p2p/mod.ts";
import type {
  AttemptReport,
  BlobSource,
  PhaseTimeouts,
  RemoteCandidate,
  RemoteJob,
  RemoteResult,
  ResumeTicket,
  RunOnPeersOptions,
} from "./remote_job.ts";
import { ReceivedOutput } from "./remote_result.ts";

const DEFAULT_TIMEOUTS: PhaseTimeouts = {
  connect: 20_000,
  offer: 30_000,
  answer: 2_500,
  transfer: 60_000,
  queue: 300_000,
  run: 30_000,
  silence: SILENCE_MS,
  // Less than a node's orphan_seconds.
  reattach: 45_000,
};

/** Output limit of a job whose manifest has none, in bytes. */
const MAX_OUTPUT_BYTES = 2 ** 30;

/** First and longest delay before another attempt, in milliseconds. */
const BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;

/** Reports whether a job may run twice: it has no effect but its result. */
function isRepeatable({ idempotent = false, profile }: RemoteJob["manifest"]): boolean {
  return idempotent || profile === "deterministic";
}

/**
 * Reports whether every other node would fail in the same way. If a node only states so, another one must agree: a
 * malicious node could end any job with one word.
 *
 * @param before Errors of earlier attempts
 */
function isPermanent({ code, cause }: PlasmError, before: readonly AttemptReport[]): boolean {
  // Faults of the caller are the same on every node; limits and stored jobs differ.
  const isCallers = ERROR_CODES[code].fault === "caller" && !ERROR_CODES[code].retryable &&
    code !== "over-limit" && code !== "not-found";
  return isCallers &&
    !(cause instanceof Stated && before.every(({ error }) => error?.code !== code));
}

/**
 * Runs a job on another node and verifies the result. Tries the next node if one rejects the job, disconnects or
 * returns a false result. A job that may have run is not repeated unless its manifest is idempotent or deterministic.
 *
 * @throws {PlasmError} the last attempt's error, with all attempts in `details.attempts`; `no-peer` if there is no
 * candidate; `bad-receipt` if a node returned a false result; `interrupted` if the signal aborts (the job is then
 * cancelled on its node)
 */
export async function runOnPeers(
  job: RemoteJob,
  options: RunOnPeersOptions,
): Promise<RemoteResult> {
  const { attempts = 3, signal, backoffMs = BACKOFF_MS, saveTicket, isSole = false } = options;
  const mayRepeat = isRepeatable(job.manifest);
  if (signal?.aborted) throw abortError(signal);
  const reports: AttemptReport[] = [];
  const start = performance.now();
  const queue = new CandidateQueue(options.candidates);
  let lost: ResumeTicket | undefined;
  const onLost = (ticket: ResumeTicket): void => void (lost = ticket);
  let next: QueuedCandidate | undefined;
  try {
    if (attempts > 0) next = await queue.next();
    if (next === undefined) {
      throw new PlasmError("no-peer", "Cannot run job: no node found that can run it");
    }
    return await retry(async () => {
      // Whether the job may have run does not matter if no other node is tried or the job is repeatable. A ticket
      // must be saved before the job runs.
      const isLast = isSole || reports.length + 1 === attempts || next!.ticket !== undefined;
      const mayBegin = saveTicket === undefined && (isLast || mayRepeat);
      lost = undefined;
      return await attempt(job, { ...next!, options, start, reports, mayBegin, isLast, onLost });
    }, {
      minMs: backoffMs,
      maxMs: MAX_BACKOFF_MS,
      retries: attempts - 1,
      signal,
      onFailure: async (failure) => {
        const error = PlasmError.from(failure);
        const { candidate, ticket } = next!;
        next = undefined;
        const mayHaveRun = reports.at(-1)?.ran !== "no";
        if (signal?.aborted || reports.length >= attempts) return;
        if (isPermanent(error, reports.slice(0, -1)) || (mayHaveRun && !mayRepeat)) return;
        const isBusy = error.retryable && error.retryAfterMs !== undefined;
        // If there is no other node, a slow one is tried again, with more time, and the job of a lost one is resumed.
        if (isBusy || error.code === "peer-timeout") queue.addLast({ candidate });
        else if (lost !== undefined && ticket === undefined) {
          queue.addLast({ candidate, ticket: lost });
        }
        next = await queue.next();
        if (next !== undefined && queue.isExhausted) {
          await delay(Math.min(error.retryAfterMs ?? 0, MAX_BACKOFF_MS), { signal });
        }
      },
      shouldRetry: () => next !== undefined,
    });
  } catch (error) {
    throw withAttempts(errorOf(error, signal), reports);
  } finally {
    await queue.close();
  }
}

/** Candidate with the ticket of a job to resume on it. */
interface QueuedCandidate {
  candidate: RemoteCandidate;
  ticket?: ResumeTicket | undefined;
}

/** Candidates in order, followed by those that were busy or lost. */
class CandidateQueue {
  readonly #fresh: AsyncIterator<RemoteCandidate> | Iterator<RemoteCandidate>;
  readonly #last: QueuedCandidate[] = [];
  /** Whether all candidates were tried, and only busy and lost ones are left. */
  isExhausted = false;

  constructor(candidates: RunOnPeersOptions["candidates"]) {
    this.#fresh = Symbol.asyncIterator in candidates
      ? candidates[Symbol.asyncIterator]()
      : candidates[Symbol.iterator]();
  }

  /** Adds a node that is tried again after all others. */
  addLast(candidate: QueuedCandidate): void {
    this.#last.push(candidate);
  }

  async next(): Promise<QueuedCandidate | undefined> {
    const fresh = await this.#fresh.next();
    if (!fresh.done) return { candidate: fresh.value };
    this.isExhausted = true;
    return this.#last.shift();
  }

  /** Stops the search. */
  async close(): Promise<void> {
    await this.#fresh.return?.();
  }
}

/** Options of {@linkcode resumeOnPeer}. */
export interface ResumeOnPeerOptions extends Omit<RunOnPeersOptions, "candidates" | "attempts"> {
  /** The node's capability, which its receipt must agree with. @default {not checked} */
  candidate?: RemoteCandidate | undefined;
}

/**
 * Resumes a job that an earlier process offered.
 *
 * @throws {PlasmError} as {@linkcode runOnPeers}
 */
export async function resumeOnPeer(
  job: RemoteJob,
  ticket: ResumeTicket,
  { candidate, ...options }: ResumeOnPeerOptions,
): Promise<RemoteResult> {
  const { peerId } = ticket;
  const reports: AttemptReport[] = [];
  try {
    return await attempt(job, {
      candidate: { ...candidate, peerId },
      options: { ...options, candidates: [] },
      start: performance.now(),
      reports,
      ticket,
    });
  } catch (error) {
    throw withAttempts(PlasmError.from(error), reports);
  }
}

interface AttemptContext {
  /** Node to try. */
  candidate: RemoteCandidate;
  /** Options of the run. */
  options: RunOnPeersOptions;
  /** Start of the run on the monotonic clock. */
  start: number;
  /** Reports of all attempts; extended by one. */
  reports: AttemptReport[];
  /** Whether the job may run before the client knows that it was accepted. @default {false} */
  mayBegin?: boolean;
  /** Whether no other attempt follows. @default {true} */
  isLast?: boolean;
  /** Resumes a job that was offered before. @default {offers the job} */
  ticket?: ResumeTicket | undefined;
  /** Receives the ticket of a job whose node was lost. @default {none} */
  onLost?: (ticket: ResumeTicket) => void;
}

/**
 * Makes one attempt and adds its report.
 *
 * @throws {PlasmError} why there is no result
 */
async function attempt(
  job: RemoteJob,
  context: AttemptContext,
): Promise<RemoteResult> {
  const { candidate, options, start, reports, mayBegin = false, isLast = true, ticket } = context;
  // Noise has loaded node:crypto already, and native hashing needs no other thread.
  await loadNativeHash();
  const { peerId } = candidate;
  const { dial, nonce, signal, saveTicket, retryMs, live, recordOutcome } = options;
  const onEvent = (event: JobEvent): void => options.onEvent?.({ ...event, peerId });
  const maxBytes = options.maxOutputBytes ?? job.manifest.resources.output_bytes ??
    MAX_OUTPUT_BYTES;
  const { outputs = [], resources } = job.manifest;
  const maxFilesBytes = options.maxFilesBytes ?? resources.output_files_bytes ?? MAX_OUTPUT_BYTES;
  const maxArchiveBytes = outputs.length === 0 ? 0 : maxFilesBytes + MAX_ARCHIVE_HEADERS_BYTES;
  const output = new ReceivedOutput({ maxBytes, live, outputs, maxArchiveBytes });
  const since = (): number => Math.round(performance.now() - start);
  const startedMs = since();
  const run = new RemoteAttempt(job, candidate, {
    dial,
    nonce,
    signal,
    saveTicket,
    retryMs,
    output,
    mayBegin,
    isRepeatable: isRepeatable(job.manifest),
    isLast,
    onEvent,
    ticket,
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
  });
  try {
    const { receipt, message, stack, leftBehind } = await run.run();
    reports.push({ peerId, ...run.report, startedMs, endedMs: since() });
    recordOutcome?.(peerId, { ok: true });
    const { status, exit_code: exitCode } = receipt.claim;
    const backtrace = status === "trapped" ? await describeFrom(job.module, stack) : undefined;
    const outcome = {
      status,
      exitCode,
      message: message ?? undefined,
      leftBehind,
      ...(backtrace === undefined ? {} : { backtrace }),
    };
    onEvent({ type: "finished", outcome, receipt });
    return { peerId, receipt, message, backtrace, leftBehind, output, attempts: reports };
  } catch (thrown) {
    output[Symbol.dispose]();
    const mayRepeat = run.report.ran === "no" || isRepeatable(job.manifest);
    const error = withoutRetry(PlasmError.from(thrown), { mayRepeat });
    const json = error.toJSON();
    reports.push({ peerId, ...run.report, startedMs, endedMs: since(), error: json });
    const { ticket: lost } = run;
    if (error.cause instanceof Disconnected && lost !== undefined) context.onLost?.(lost);
    onEvent({ type: "attempt-failed", error });
    const outcome = outcomeOf(error);
    if (outcome !== undefined) recordOutcome?.(peerId, outcome);
    throw error;
  }
}

/** How long other nodes are preferred to one with other versions of documents, in milliseconds. */
const OTHER_VERSION_MS = 60_000;

/** Outcome for the reputation of a node; undefined if it is not responsible for the error. */
function outcomeOf({ cause, code, retryAfterMs }: PlasmError): PeerOutcome | undefined {
  if (cause instanceof Stated) {
    // What a node states is no proof of a failure, whatever its code, but it has not run the job.
    return { ok: false, refusedForMs: code === "protocol" ? OTHER_VERSION_MS : retryAfterMs ?? 0 };
  }
  const isFailure = ["bad-receipt", "protocol", "peer-timeout", "no-peer"].includes(code);
  return isFailure ? { ok: false } : undefined;
}

/** The error, not retryable if the job may have run and must not run twice. */
function withoutRetry(error: PlasmError, { mayRepeat }: { mayRepeat: boolean }): PlasmError {
  if (mayRepeat || !error.retryable) return error;
  const { code, message, hint, details, cause } = error;
  return new PlasmError(code, message, { hint, details, cause, retryable: false });
}

/** Describes a stack by the module that was sent: names from a node would be its own words. */
async function describeFrom(
  module: BlobSource,
  stack: readonly number[],
): Promise<StackFrame[] | undefined> {
  if (stack.length === 0) return undefined;
  return await describeStack(await module.read(0, module.size), stack);
}

function withAttempts(error: PlasmError, reports: readonly AttemptReport[]): PlasmError {
  const { code, message, hint, retryable, retryAfterMs, details } = error;
  const attempts = reports.map((report) => JSON.parse(JSON.stringify(report)));
  return new PlasmError(code, message, {
    hint,
    retryable,
    retryAfterMs,
    details: { ...details, attempts },
    cause: error,
  });
}
