/**
 * Converts frames from a child process to the events of its job.
 *
 * A guest that has escaped its sandbox controls the child, so every frame is validated against the job's limits.
 *
 * @module
 */
import { isErrorCode, PlasmError } from "../../core/errors/mod.ts";
import { printable } from "../../util/mod.ts";
import {
  type FinishedReport,
  FrameKind,
  type IpcFrame,
  type RefusedReport,
  type UsageReport,
} from "../ipc/mod.ts";
import type { JobStatus, SandboxEvent, SandboxOutcome } from "../job_types.ts";
import type { ExitReason } from "./exit_status.ts";

/** Output that may be queued, in bytes: enough that a reader with little work per event does not slow the guest. */
const QUEUE_BYTES = 1024 * 1024;

/** Statuses that a child may report. */
const REPORTED_STATUSES: ReadonlySet<unknown> = new Set<JobStatus>([
  "exited",
  "trapped",
  "timeout",
  "memory",
  "output",
  "cancelled",
]);

const decoder = new TextDecoder();

/** Bounded queue of events between one writer and one reader; a full queue blocks the writer. */
export class EventQueue {
  readonly #events: SandboxEvent[] = [];
  #bytes = 0;
  #isUnbounded = false;
  #closed = false;
  #error: unknown;
  #changed = Promise.withResolvers<void>();
  readonly #onConsumed: (event: SandboxEvent) => void;

  /** Creates a queue; `onConsumed` is called when the reader requests the event after this one. */
  constructor(onConsumed: (event: SandboxEvent) => void = () => {}) {
    this.#onConsumed = onConsumed;
  }

  /** Adds an event; resolves when the queue accepts another one. */
  async push(event: SandboxEvent): Promise<void> {
    if (this.#closed) return;
    this.#events.push(event);
    this.#bytes += outputBytes(event);
    this.#notify();
    while (this.#bytes > QUEUE_BYTES && !this.#isUnbounded && !this.#closed) {
      await this.#changed.promise;
    }
  }

  /** Removes the bound, when only a limited amount of output can follow. */
  unbound(): void {
    this.#isUnbounded = true;
    this.#notify();
  }

  /** Ends the queue: no further events follow, or the reader has left. */
  close(): void {
    this.#closed = true;
    this.#notify();
  }

  /** Ends the queue with an error, which the reader receives after the queued events. */
  fail(error: unknown): void {
    this.#error ??= error;
    this.close();
  }

  /** Yields events until the queue is closed and empty. */
  async *drain(): AsyncGenerator<SandboxEvent, void, void> {
    while (true) {
      const event = this.#events.shift();
      if (event !== undefined) {
        this.#bytes -= outputBytes(event);
        this.#notify();
        yield event;
        this.#onConsumed(event);
      } else if (!this.#closed) {
        await this.#changed.promise;
      } else if (this.#error !== undefined) {
        throw this.#error;
      } else return;
    }
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }
}

function outputBytes(event: SandboxEvent): number {
  return "data" in event ? event.data.length : 0;
}

/** Options of {@linkcode JobResultReader}. */
export interface JobResultReaderOptions {
  /** Returns bytes of a frame that stay valid after it. @default {the payload itself} */
  retain?: (payload: Uint8Array) => Uint8Array;
  /** Called with retained bytes when their event is consumed. @default {none} */
  release?: ((bytes: Uint8Array) => void) | undefined;
}

/** Start of a job, on both clocks. */
export interface JobStart {
  /** Unix time in milliseconds. */
  startedAt: number;
  /** Value of `performance.now()`. */
  start: number;
}

/** Reads the result of one job. */
export class JobResultReader {
  /** Events of the job. */
  readonly queue: EventQueue;
  readonly #retain: (payload: Uint8Array) => Uint8Array;
  #outputLeft: number;
  #stopReason: ExitReason | undefined;
  #usage: UsageReport = { cpuTimeMs: 0, rssGrowthBytes: 0 };
  #report: Omit<FinishedReport, "reusable"> | undefined;
  #refusal: PlasmError | undefined;
  #reusable = false;

  /** Creates a reader for a job that may write `outputBytes` of output. */
  constructor(outputBytes: number, options: JobResultReaderOptions = {}) {
    this.#outputLeft = outputBytes;
    this.#retain = options.retain ?? ((payload) => payload);
    this.queue = new EventQueue((event) => {
      if ("data" in event) options.release?.(event.data);
    });
  }

  /** Whether the job has ended. */
  get finished(): boolean {
    return this.#report !== undefined || this.#refusal !== undefined;
  }

  /** Whether the child reported that the job cannot start. */
  get refused(): boolean {
    return this.#refusal !== undefined;
  }

  /** Whether the child reported that it can run another job. */
  get reusable(): boolean {
    return this.#reusable;
  }

  /** Records that the parent stops the job, which is the reason unless the child reports another one. */
  stop(status: JobStatus, message: string): void {
    this.#stopReason ??= { status, message };
    this.queue.unbound();
  }

  /**
   * Processes one frame; resolves when the queue accepts another one.
   *
   * @throws {PlasmError} `executor` for an invalid frame
   */
  async read({ kind, payload }: IpcFrame): Promise<void> {
    switch (kind) {
      case FrameKind.Stdout:
      case FrameKind.Stderr:
        this.#outputLeft -= payload.length;
        if (this.#outputLeft < 0) throw invalid("more output than the job may write");
        return await this.queue.push({
          type: kind === FrameKind.Stdout ? "stdout" : "stderr",
          data: this.#retain(payload),
        });
      case FrameKind.Usage: {
        const { cpuTimeMs, rssGrowthBytes } = parseReport<UsageReport>(payload);
        this.#usage = { cpuTimeMs: integer(cpuTimeMs), rssGrowthBytes: integer(rssGrowthBytes) };
        return;
      }
      case FrameKind.Finished:
        return this.#finish(parseReport<FinishedReport>(payload));
      case FrameKind.Refused: {
        const { code, message, reusable } = parseReport<RefusedReport>(payload);
        if (!isErrorCode(code)) throw invalid("an unknown error code");
        this.#refusal = new PlasmError(code, printable(String(message)));
        this.#reusable = reusable === true;
        return;
      }
      default:
        throw invalid(`a frame of kind ${kind}`);
    }
  }

  /** Records that the process has ended without a report. */
  exited(reason: ExitReason): void {
    this.#report = {
      ...(this.#stopReason ?? reason),
      exitCode: null,
      cpuTimeMs: this.#usage.cpuTimeMs,
      memoryPeakBytes: this.#usage.rssGrowthBytes,
    };
  }

  /** Queues the final event, or the error if the job did not start. */
  async end({ startedAt, start }: JobStart): Promise<void> {
    const report = this.#report;
    if (report === undefined) return this.queue.fail(this.#refusal);
    const wallTimeMs = Math.round(performance.now() - start);
    const outcome: SandboxOutcome = {
      status: report.status,
      exitCode: report.exitCode,
      message: report.message,
      usage: {
        wallTimeMs,
        cpuTimeMs: report.cpuTimeMs,
        memoryPeakBytes: report.memoryPeakBytes,
      },
      startedAt,
      finishedAt: startedAt + wallTimeMs,
    };
    this.queue.unbound();
    await this.queue.push({ type: "finished", outcome });
    this.queue.close();
  }

  #finish(report: FinishedReport): void {
    const { exitCode, reusable } = report;
    if (!REPORTED_STATUSES.has(report.status)) throw invalid("an unknown status");
    // The child reports a SIGTERM as `cancelled`; only the parent knows whether it was a deadline.
    const { status, message } = report.status === "cancelled" ? this.#stopReason ?? report : report;
    this.#report = {
      status,
      exitCode: status === "exited" ? integer(exitCode) : null,
      ...(message === undefined ? {} : { message: printable(String(message)) }),
      cpuTimeMs: integer(report.cpuTimeMs),
      memoryPeakBytes: integer(report.memoryPeakBytes),
    };
    this.#reusable = reusable === true;
  }
}

function parseReport<T>(payload: Uint8Array): Partial<Record<keyof T, unknown>> & T {
  try {
    const value = JSON.parse(decoder.decode(payload));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Malformed JSON is reported below.
  }
  throw invalid("a report that is not a JSON object");
}

function integer(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw invalid("a figure that is not a non-negative integer");
}

function invalid(what: string): PlasmError {
  return new PlasmError("executor", `Executor violated its protocol: it sent ${what}`);
}
