/**
 * Converts what a child process sends to the events of its job: frames, or its exit status and standard error.
 *
 * A guest that has escaped its sandbox controls the child, so every frame is validated against the job's limits.
 *
 * @module
 */
import { MAX_ARCHIVE_HEADERS_BYTES, type NondeterminismSource } from "../../core/mod.ts";
import { isErrorCode, PlasmError } from "../../core/errors/mod.ts";
import { escapeText } from "../../util/mod.ts";
import {
  CAPTURED_FRAMES,
  type FinishedReport,
  FrameKind,
  type IpcFrame,
  type RefusedReport,
  STOPPING_MARK,
  type UsageReport,
} from "../ipc/mod.ts";
import type {
  CallLocation,
  JobStatus,
  LeftBehind,
  SandboxEvent,
  SandboxOutcome,
} from "../job_types.ts";

/** Output that may be queued, in bytes: enough that a reader with little work per event does not slow the guest. */
const QUEUE_BYTES = 1024 * 1024;

/** Statuses that a child may report. */
const REPORTED_STATUSES: ReadonlySet<unknown> = new Set<JobStatus>([
  "exited",
  "trapped",
  "timeout",
  "memory",
  "output",
  "fuel",
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

  /** Restores the bound. */
  bound(): void {
    this.#isUnbounded = false;
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
  /** Maximum size of the output files, in bytes. @default {no output files} */
  outputFilesBytes?: number | undefined;
  /** Instructions that the guest may execute. @default {not counted} */
  fuel?: number | undefined;
  /** Called when the guest has ended and its output files follow. @default {none} */
  onFiles?: (() => void) | undefined;
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
  #filesLeft: number;
  readonly #fuel: number | undefined;
  readonly #onFiles: () => void;
  #hasFiles = false;
  #stopReason: ExitReason | undefined;
  #usage: UsageReport = { cpuTimeMs: 0, rssGrowthBytes: 0, nondeterminism: [] };
  readonly #growth = new GrowthTracker();
  #report: Omit<FinishedReport, "reusable"> | undefined;
  #refusal: PlasmError | undefined;
  #failure: PlasmError | undefined;
  #reusable = false;

  /** Creates a reader for a job that may write `outputBytes` of output. */
  constructor(outputBytes: number, options: JobResultReaderOptions = {}) {
    this.#outputLeft = outputBytes;
    const { outputFilesBytes } = options;
    this.#filesLeft = outputFilesBytes === undefined
      ? 0
      : outputFilesBytes + MAX_ARCHIVE_HEADERS_BYTES;
    this.#fuel = options.fuel;
    this.#onFiles = options.onFiles ?? (() => {});
    this.#retain = options.retain ?? ((payload) => payload);
    this.queue = new EventQueue((event) => {
      if ("data" in event) options.release?.(event.data);
    });
  }

  /** Whether the job has ended. */
  get finished(): boolean {
    return (this.#report ?? this.#refusal ?? this.#failure) !== undefined;
  }

  /** Whether the guest has ended and its output files are being received. */
  get hasFiles(): boolean {
    return this.#hasFiles;
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
      case FrameKind.Files:
        this.#filesLeft -= payload.length;
        if (this.#filesLeft < 0) throw invalid("more output files than the job may return");
        if (!this.#hasFiles) this.#onFiles();
        this.#hasFiles = true;
        if (payload.length === 0) return;
        return await this.queue.push({ type: "files", data: this.#retain(payload) });
      case FrameKind.Usage: {
        const report = parseReport<UsageReport>(payload);
        this.#usage = {
          cpuTimeMs: integer(report.cpuTimeMs),
          rssGrowthBytes: integer(report.rssGrowthBytes),
          nondeterminism: sources(report.nondeterminism),
        };
        this.#growth.add({ at: performance.now(), bytes: this.#usage.rssGrowthBytes });
        return;
      }
      case FrameKind.Finished:
        return this.#finish(parseReport<FinishedReport>(payload));
      case FrameKind.Refused: {
        const { code, message, reusable } = parseReport<RefusedReport>(payload);
        if (!isErrorCode(code)) throw invalid("an unknown error code");
        this.#refusal = new PlasmError(code, escapeText(String(message)));
        this.#reusable = reusable === true;
        return;
      }
      default:
        throw invalid(`a frame of kind ${kind}`);
    }
  }

  /** Whether the process's memory was growing when it last reported its usage. */
  get isGrowing(): boolean {
    return this.#growth.isGrowing;
  }

  /** Records that the process has ended without a report: the job's result, or an error if it has none. */
  exited(reason: ExitReason | PlasmError): void {
    const result = this.#stopReason ?? reason;
    if (result instanceof PlasmError) {
      this.#failure = result;
      return;
    }
    this.#report = {
      ...result,
      exitCode: null,
      cpuTimeMs: this.#usage.cpuTimeMs,
      memoryPeakBytes: this.#usage.rssGrowthBytes,
      nondeterminism: this.#usage.nondeterminism,
    };
  }

  /** Queues the final event, or the error if the job did not start. */
  async end({ startedAt, start }: JobStart): Promise<void> {
    const report = this.#report;
    if (report === undefined) return this.queue.fail(this.#refusal ?? this.#failure);
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
      nondeterminism: report.nondeterminism,
      startedAt,
      finishedAt: startedAt + wallTimeMs,
      ...(report.trace === undefined ? {} : { trace: report.trace }),
      ...(report.leftBehind === undefined ? {} : { leftBehind: report.leftBehind }),
      ...(report.fuel === undefined ? {} : { fuel: report.fuel }),
    };
    this.queue.unbound();
    await this.queue.push({ type: "finished", outcome });
    this.queue.close();
  }

  #finish(report: FinishedReport): void {
    const { exitCode, reusable, trace } = report;
    if (!REPORTED_STATUSES.has(report.status)) throw invalid("an unknown status");
    // The child reports a SIGTERM as `cancelled`; only the parent knows whether it was a deadline.
    const { status, message } = report.status === "cancelled" ? this.#stopReason ?? report : report;
    this.#report = {
      status,
      exitCode: status === "exited" ? integer(exitCode) : null,
      ...(message === undefined ? {} : { message: escapeText(String(message)) }),
      cpuTimeMs: integer(report.cpuTimeMs),
      memoryPeakBytes: integer(report.memoryPeakBytes),
      nondeterminism: sources(report.nondeterminism),
      ...(status === "trapped" && trace !== undefined ? { trace: locations(trace) } : {}),
      leftBehind: checkLeftBehind(report.leftBehind),
      fuel: this.#checkFuel(report.fuel, status),
    };
    this.#reusable = reusable === true;
  }

  #checkFuel(value: unknown, status: JobStatus): number | undefined {
    const limit = this.#fuel;
    if (status === "fuel" && value !== limit) throw invalid("less fuel than its job has used up");
    if (value === undefined) {
      if (limit !== undefined && status === "exited") throw invalid("no fuel, but its job exited");
      return undefined;
    }
    if (limit === undefined || integer(value) > limit) throw invalid("more fuel than its job has");
    return integer(value);
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

/** Most files left behind that a report names, and the longest of their paths in UTF-16 code units. */
const MAX_LEFT_BEHIND = 32;
const MAX_OUTPUT_PATH = 1024;

function checkLeftBehind(value: unknown): LeftBehind | undefined {
  if (value === undefined) return undefined;
  const { entries, more } = value as Partial<LeftBehind> ?? {};
  if (!Array.isArray(entries) || entries.length > MAX_LEFT_BEHIND) {
    throw invalid("a malformed list of files left behind");
  }
  return {
    more: integer(more),
    entries: entries.map(({ path, bytes, kind }) => {
      const isPath = typeof path === "string" && path.length <= MAX_OUTPUT_PATH;
      if (!isPath || !["file", "directory", "link"].includes(kind)) {
        throw invalid("a malformed list of files left behind");
      }
      return { path, bytes: integer(bytes), kind };
    }),
  };
}

function integer(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw invalid("a figure that is not a non-negative integer");
}

function locations(value: unknown): CallLocation[] {
  if (Array.isArray(value) && value.length <= CAPTURED_FRAMES) {
    return value.map((one) => ({ module: integer(one?.module), offset: integer(one?.offset) }));
  }
  throw invalid("a malformed stack");
}

/** Sources that a child may report, sorted. */
const SOURCES: readonly NondeterminismSource[] = ["clock", "poll", "random"];

function sources(value: unknown): NondeterminismSource[] {
  if (Array.isArray(value)) {
    const known = SOURCES.filter((source) => value.includes(source));
    if (known.length === value.length && known.every((one, at) => one === value[at])) return known;
  }
  throw invalid("sources of nondeterminism that are not a sorted list");
}

function invalid(what: string): PlasmError {
  return new PlasmError("executor", `Executor violated its protocol: it sent ${what}`);
}

/** Why a process ended without a report. */
export interface ExitReason {
  /** Status of the job. */
  status: JobStatus;
  /** Explanation. */
  message: string;
}

/** Maximum length of retained standard error, in characters: V8 prints the reason first and then a stack trace. */
const MAX_RETAINED_CHARS = 16 * 1024;

/** What V8, Rust and glibc print when a memory allocation fails. */
const OUT_OF_MEMORY = /out of memory|OOM|heap limit|memory allocation of|Allocation failed/i;

/** Reads a process's standard error to its end and retains the beginning. */
export class StderrReader {
  /** Resolves at the end of the stream. */
  readonly done: Promise<void>;
  /** Called when the process reports that it stops its job. */
  onStopping: () => void = () => {};
  #text = "";

  /** Starts to read. */
  constructor(stream: ReadableStream<Uint8Array>) {
    this.done = this.#read(stream);
  }

  /** The retained text. */
  text(): string {
    return this.#text;
  }

  /** The first line of the text, for an error message. */
  summary(): string {
    const line = this.#text.split("\n").find((text) => text.trim() !== "") ?? "it printed nothing";
    // deno-lint-ignore no-control-regex -- the runtime colours its errors
    return line.replace(/\x1b\[[0-9;]*m/g, "").trim().slice(0, 300);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of stream) {
        if (this.#text.length >= MAX_RETAINED_CHARS) continue;
        this.#text += decoder.decode(chunk, { stream: true });
        if (this.#text.includes(STOPPING_MARK)) this.onStopping();
      }
    } catch {
      // The pipe broke when the process ended.
    }
  }
}

/** Period over which growth is measured, in milliseconds. */
const GROWTH_PERIOD_MS = 500;

/** Growth in that period from which a process may have exhausted the memory, in bytes: allocation writes 1 GB/s. */
const GROWTH_BYTES = 32 * 2 ** 20;

/** Decides from samples whether a process's memory grows. */
export class GrowthTracker {
  #samples: { at: number; bytes: number }[] = [{ at: -Infinity, bytes: 0 }];

  /** Adds a sample: its time in milliseconds, and the memory in bytes. */
  add(sample: { at: number; bytes: number }): void {
    const first = this.#samples.findLastIndex(({ at }) => at < sample.at - GROWTH_PERIOD_MS);
    // The last sample before the period is the memory at its start.
    this.#samples = [...this.#samples.slice(Math.max(first, 0)), sample];
  }

  /** Whether the memory grew in the last period. */
  get isGrowing(): boolean {
    return this.#samples.at(-1)!.bytes - this.#samples[0]!.bytes >= GROWTH_BYTES;
  }
}

/** Options of {@linkcode describeExitStatus}. */
export interface ExitOptions {
  /** What the process printed to standard error. */
  stderr: string;
  /** Whether its memory was growing. */
  isGrowing: boolean;
}

/**
 * Derives why a process ended. Where the parent has killed it, the caller knows the reason.
 *
 * The kernel's out-of-memory killer sends SIGKILL, as others do, and nothing that this process may read tells them
 * apart. The process that exhausts the memory is growing; any other victim may run the job again.
 *
 * @returns The job's result, or an `executor` error if the job is not the cause.
 */
export function describeExitStatus(
  status: Deno.CommandStatus,
  { stderr, isGrowing }: ExitOptions,
): ExitReason | PlasmError {
  const how = status.signal ?? `exit code ${status.code}`;
  if (status.signal === "SIGKILL" && !isGrowing && !OUT_OF_MEMORY.test(stderr)) {
    return new PlasmError("executor", "Lost job: its executor was killed from outside (SIGKILL)", {
      hint:
        "Find out what killed it (journalctl -k shows the kernel's kills), and run the job again",
    });
  }
  if (status.signal === "SIGKILL" || OUT_OF_MEMORY.test(stderr)) {
    return { status: "memory", message: `Job stopped: its process ran out of memory (${how})` };
  }
  if (status.signal === "SIGXCPU") {
    return { status: "timeout", message: "Job stopped: it exceeded its CPU time" };
  }
  return { status: "trapped", message: `Job trapped: it ended its process (${how})` };
}
