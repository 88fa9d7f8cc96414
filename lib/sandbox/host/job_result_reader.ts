/**
 * What the parent knows of the job that its executor runs, from the frames it gets. The executor
 * shares its process with the guest, so nothing that it says is believed beyond the job's limits.
 * @module
 */
import { isErrorCode, PlasmError } from "../../core/errors/mod.ts";
import { EventQueue } from "./event_queue.ts";
import type { Death } from "./exit_status.ts";
import {
  type FinishedReport,
  type Frame,
  FrameKind,
  type RefusedReport,
  type UsageReport,
} from "../ipc/mod.ts";
import { printable } from "../../util/mod.ts";
import type { JobStatus, SandboxOutcome } from "../job_types.ts";

/** The statuses an executor may report. */
const REPORTED: ReadonlySet<unknown> = new Set<JobStatus>([
  "exited",
  "trapped",
  "timeout",
  "memory",
  "output",
  "cancelled",
]);

/** Options of {@linkcode JobResultReader}. */
export interface JobResultReaderOptions {
  /** Bytes of a frame that its reader may have when the frame is gone. @default {the frame's own} */
  hold?: (payload: Uint8Array) => Uint8Array;
  /** Takes them back, once the reader asks for more. @default {they are the reader's} */
  giveBack?: ((bytes: Uint8Array) => void) | undefined;
}

const decoder = new TextDecoder();

/** State of one run; see {@linkcode JobResultReader.take}. */
export class JobResultReader {
  /** Where the reader pulls. */
  readonly queue: EventQueue;
  readonly #hold: (payload: Uint8Array) => Uint8Array;
  #outputLeft: number;
  #stop: { status: JobStatus; message: string } | undefined;
  #usage: UsageReport = { cpuTimeMs: 0, rssGrowthBytes: 0 };
  #report: Omit<FinishedReport, "reusable"> | undefined;
  #refused: PlasmError | undefined;
  #reusable = false;

  constructor(outputBytes: number, options: JobResultReaderOptions = {}) {
    this.#outputLeft = outputBytes;
    this.#hold = options.hold ?? ((payload) => payload);
    this.queue = new EventQueue((event) => {
      if ("data" in event) options.giveBack?.(event.data);
    });
  }

  /** Whether the job has ended. */
  get finished(): boolean {
    return this.#report !== undefined || this.#refused !== undefined;
  }

  /** Whether the process says that the job cannot begin. */
  get refused(): boolean {
    return this.#refused !== undefined;
  }

  /** Whether the process says that it can take another job. */
  get reusable(): boolean {
    return this.#reusable;
  }

  /** The parent wants the job to end, and this will be why if the process does not say so itself. */
  stop(status: JobStatus, message: string): void {
    this.#stop ??= { status, message };
    this.queue.open();
  }

  /**
   * Takes one frame; resolves when there is room for the next.
   *
   * @throws {PlasmError} `executor` on a frame that is out of place.
   */
  async take({ kind, payload }: Frame): Promise<void> {
    switch (kind) {
      case FrameKind.Stdout:
      case FrameKind.Stderr:
        this.#outputLeft -= payload.length;
        if (this.#outputLeft < 0) throw malformed("more output than the job may write");
        return await this.queue.push({
          type: kind === FrameKind.Stdout ? "stdout" : "stderr",
          data: this.#hold(payload),
        });
      case FrameKind.Usage: {
        const { cpuTimeMs, rssGrowthBytes } = parse<UsageReport>(payload);
        this.#usage = { cpuTimeMs: count(cpuTimeMs), rssGrowthBytes: count(rssGrowthBytes) };
        return;
      }
      case FrameKind.Finished:
        return this.#finish(parse<FinishedReport>(payload));
      case FrameKind.Refused: {
        const { code, message, reusable } = parse<RefusedReport>(payload);
        if (!isErrorCode(code)) throw malformed("an unknown error code");
        this.#refused = new PlasmError(code, printable(String(message)));
        this.#reusable = reusable === true;
        return;
      }
      default:
        throw malformed(`a frame of kind ${kind}`);
    }
  }

  /** The process has ended without a word on the job. */
  died(death: Death): void {
    this.#report = {
      ...(this.#stop ?? death),
      exitCode: null,
      cpuTimeMs: this.#usage.cpuTimeMs,
      memoryPeakBytes: this.#usage.rssGrowthBytes,
    };
  }

  /** Lets the reader have the end. */
  async end(times: { startedAt: number; start: number }): Promise<void> {
    const report = this.#report;
    if (report === undefined) return this.queue.fail(this.#refused);
    const wallTimeMs = Math.round(performance.now() - times.start);
    const outcome: SandboxOutcome = {
      status: report.status,
      exitCode: report.exitCode,
      message: report.message,
      usage: {
        wallTimeMs,
        cpuTimeMs: report.cpuTimeMs,
        memoryPeakBytes: report.memoryPeakBytes,
      },
      startedAt: times.startedAt,
      finishedAt: times.startedAt + wallTimeMs,
    };
    this.queue.open();
    await this.queue.push({ type: "finished", outcome });
    this.queue.close();
  }

  #finish(report: FinishedReport): void {
    const { exitCode, reusable } = report;
    if (!REPORTED.has(report.status)) throw malformed("an unknown status");
    // The process knows that it was told to stop, and only the parent why: a process that is late at
    // its deadline is told too.
    const { status, message } = report.status === "cancelled" ? this.#stop ?? report : report;
    this.#report = {
      status,
      exitCode: status === "exited" ? count(exitCode) : null,
      ...(message === undefined ? {} : { message: printable(String(message)) }),
      cpuTimeMs: count(report.cpuTimeMs),
      memoryPeakBytes: count(report.memoryPeakBytes),
    };
    this.#reusable = reusable === true;
  }
}

function parse<T>(payload: Uint8Array): Partial<Record<keyof T, unknown>> & T {
  try {
    const value = JSON.parse(decoder.decode(payload));
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below.
  }
  throw malformed("a report that is not a JSON object");
}

function count(value: unknown): number {
  if (Number.isSafeInteger(value) && (value as number) >= 0) return value as number;
  throw malformed("a figure that is not a whole number");
}

function malformed(what: string): PlasmError {
  return new PlasmError("executor", `Cannot trust executor: it sent ${what}`);
}
