/**
 * The client's side of the job protocol: runs a job on the first node that can, and believes nothing.
 * @module
 */
import { loadNativeHash } from "../../core/mod.ts";
import { ERROR_CODES, PlasmError } from "../../core/errors/mod.ts";
import { sleep } from "../../util/async/mod.ts";
import { RemoteAttempt } from "./attempt.ts";
import { SILENCE_MS } from "../wire/mod.ts";
import { ReceivedOutput } from "./received_output.ts";
import type {
  AttemptReport,
  PhaseTimeouts,
  RemoteCandidate,
  RemoteJob,
  RemoteResult,
  ResumeTicket,
  RunOnPeersOptions,
} from "./remote_job.ts";

const DEFAULT_TIMEOUTS: PhaseTimeouts = {
  connect: 20_000,
  offer: 30_000,
  transfer: 60_000,
  queue: 300_000,
  run: 30_000,
  silence: SILENCE_MS,
  // Less than a node keeps a job whose client is away.
  reattach: 45_000,
};

const MAX_OUTPUT_BYTES = 2 ** 30;
const BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;

/** Codes of the node's or our table that another node would answer in the same way. */
function isHopeless({ code }: PlasmError): boolean {
  // A caller's fault there is one here; but limits and manners differ between nodes.
  return ERROR_CODES[code].fault === "caller" && !ERROR_CODES[code].retryable &&
    code !== "over-limit" && code !== "not-found";
}

/**
 * Runs a job on another node and verifies what comes back. Tries the next node when one refuses,
 * vanishes or lies, but never runs a job twice that may have run, unless its manifest says that it may.
 *
 * @throws {PlasmError} The last attempt's error, with all attempts as `details.attempts`; `no-peer` when there
 * was no node to try; `bad-receipt` if a node returned a false result
 * @throws {PlasmError} `interrupted` when the signal aborts; the job is then cancelled on its node
 */
export async function runOnPeers(
  job: RemoteJob,
  options: RunOnPeersOptions,
): Promise<RemoteResult> {
  const { attempts: most = 3, signal, backoffMs = BACKOFF_MS } = options;
  const reports: AttemptReport[] = [];
  const start = performance.now();
  const never = new AbortController().signal;
  let error: PlasmError | undefined;
  const again: RemoteCandidate[] = [];
  const candidates = iterate(options.candidates);
  try {
    while (reports.length < most) {
      if (signal?.aborted) throw PlasmError.from(signal.reason);
      const fresh = await candidates.next();
      // Who was only busy may be free by now.
      const candidate = fresh.done ? again.shift() : fresh.value;
      if (candidate === undefined) break;
      if (error !== undefined) {
        const wait = Math.min(backoffMs * 2 ** (reports.length - 1), MAX_BACKOFF_MS);
        const told = fresh.done ? Math.min(error.retryAfterMs ?? 0, MAX_BACKOFF_MS) : 0;
        await sleep(Math.max(told, wait * (0.5 + Math.random() / 2)), signal ?? never);
        if (signal?.aborted) throw PlasmError.from(signal.reason);
      }
      const { saveTicket, isSole = false } = options;
      // That a job may have run is of no weight where it is tried nowhere else, or may run twice. A ticket must
      // be kept before anything runs.
      const isLast = isSole || reports.length + 1 === most;
      const mayBegin = saveTicket === undefined && (isLast || job.manifest.idempotent === true);
      const outcome = await attempt(job, { candidate, options, start, reports, mayBegin });
      if (!(outcome instanceof PlasmError)) return outcome;
      error = outcome;
      const { ran } = reports.at(-1)!;
      if (signal?.aborted || isHopeless(error)) break;
      if (ran !== "no" && !job.manifest.idempotent) break;
      if (error.retryable && error.retryAfterMs !== undefined) again.push(candidate);
    }
  } finally {
    await candidates.return?.();
  }
  throw withAttempts(
    error ?? new PlasmError("no-peer", "Cannot run job: no node that can run it was found"),
    reports,
  );
}

/** Options of {@linkcode resumeOnPeer}. */
export interface ResumeOnPeerOptions extends Omit<RunOnPeersOptions, "candidates" | "attempts"> {
  /** What the node says it is, where that is known; its receipt must say the same. @default {not known} */
  candidate?: RemoteCandidate | undefined;
}

/** Goes on with a job that an earlier process had begun. @throws {PlasmError} as {@linkcode runOnPeers} */
export async function resumeOnPeer(
  job: RemoteJob,
  ticket: ResumeTicket,
  { candidate, ...options }: ResumeOnPeerOptions,
): Promise<RemoteResult> {
  const { peerId } = ticket;
  const reports: AttemptReport[] = [];
  const outcome = await attempt(job, {
    candidate: { ...candidate, peerId },
    options: { ...options, candidates: [] },
    start: performance.now(),
    reports,
    ticket,
  });
  if (outcome instanceof PlasmError) throw withAttempts(outcome, reports);
  return outcome;
}

interface AttemptContext {
  candidate: RemoteCandidate;
  options: RunOnPeersOptions;
  start: number;
  reports: AttemptReport[];
  /** Whether the job may run before its acceptance is heard of. @default {false} */
  mayBegin?: boolean;
  ticket?: ResumeTicket;
}

async function attempt(
  job: RemoteJob,
  { candidate, options, start, reports, mayBegin = false, ticket }: AttemptContext,
): Promise<RemoteResult | PlasmError> {
  // Noise has loaded node:crypto anyway: the offer's hash, output and receipt then need no other thread.
  await loadNativeHash();
  const { peerId } = candidate;
  const { dial, nonce, signal, saveTicket, retryMs, live, onProgress = () => {}, noteOutcome } =
    options;
  const maxBytes = options.maxOutputBytes ?? job.manifest.resources.output_bytes ??
    MAX_OUTPUT_BYTES;
  const output = new ReceivedOutput({ maxBytes, live });
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
    onProgress,
    ticket,
    timeouts: { ...DEFAULT_TIMEOUTS, ...options.timeouts },
  });
  try {
    const { receipt, message } = await run.run();
    reports.push({ peerId, ...run.report, startedMs, endedMs: since() });
    noteOutcome?.(peerId, { ok: true });
    return { peerId, receipt, message, output, attempts: reports };
  } catch (thrown) {
    output[Symbol.dispose]();
    const error = PlasmError.from(thrown);
    const json = error.toJSON();
    reports.push({ peerId, ...run.report, startedMs, endedMs: since(), error: json });
    onProgress({ peerId, phase: "failed", error: json });
    // A node that is busy or refuses by policy has not misbehaved.
    if (["bad-receipt", "protocol", "peer-timeout", "no-peer"].includes(error.code)) {
      noteOutcome?.(peerId, { ok: false });
    }
    return error;
  }
}

function iterate<T>(source: AsyncIterable<T> | Iterable<T>): AsyncIterator<T> | Iterator<T> {
  return Symbol.asyncIterator in source
    ? source[Symbol.asyncIterator]()
    : source[Symbol.iterator]();
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
