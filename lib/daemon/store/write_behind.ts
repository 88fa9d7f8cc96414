/**
 * Write-behind of short jobs: one insert at the end costs a fraction of an insert and several updates.
 * @module
 */
import type { PlasmError } from "../../core/errors/mod.ts";
import type { JobRecord, NewEvent, OutputStream, RecordedEvent } from "./job_table.ts";
import type { JobEnd } from "./job_table.ts";
import type { GroupCommit } from "./group_commit.ts";

/** Delay before a finished job is written, in milliseconds; jobs within it share a commit. */
const FINISHED_MS = 20;

/** Delay before an unfinished job is written, in milliseconds; it has not been acknowledged yet. */
const UNFINISHED_MS = 100;

/** Delay before a failed write of a finished job is retried, in milliseconds. */
const RETRY_MS = 2000;

/** Maximum number of unwritten jobs: the history that a crash can lose. */
const MAX_JOBS = 256;

/** Maximum output of unwritten jobs, in bytes. */
const MAX_BYTES = 4 * 2 ** 20;

/** Unwritten job and its events, with the ids that the database would assign. */
export interface WriteBehindJob {
  readonly record: JobRecord;
  /** Required modules and inputs. */
  readonly blobs: ReadonlySet<string>;
  readonly events: RecordedEvent[];
  /** Write deadline, by performance.now(). */
  dueAt: number;
}

/** Options of {@linkcode WriteBehind}. */
export interface WriteBehindOptions {
  writes: GroupCommit;
  /** Inserts a job with its events and returns its seq. */
  insert: (job: WriteBehindJob) => number;
}

/** Applies a result to a record as the database would to its row. */
function applyEnd(record: JobRecord, end: JobEnd): void {
  record.state = end.state;
  record.status = end.status ?? null;
  record.exitCode = end.exitCode ?? null;
  record.message = end.message ?? null;
  record.error = end.error ?? null;
  record.receipt = end.receipt ?? null;
  record.otherReceipts = end.otherReceipts ?? null;
  record.peer = end.peer ?? null;
  record.startedAt = end.startedAt ?? record.startedAt;
  record.stdinHash = end.stdinHash ?? record.stdinHash;
  record.leftBehind = end.leftBehind ?? null;
  record.backtrace = end.backtrace ?? null;
  record.finishedAt = end.finishedAt;
  record.stdin = null;
}

/** Unwritten jobs, in order of acceptance. */
export class WriteBehind {
  readonly #options: WriteBehindOptions;
  readonly #jobs = new Map<string, WriteBehindJob>();
  /** Why each unfinished job that could not be written was dropped. */
  readonly #dropped = new WeakMap<JobRecord, PlasmError>();
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: WriteBehindOptions) {
    this.#options = options;
  }

  /** Whether one more job, or more output, may be buffered. */
  hasCapacity(bytes = 0): boolean {
    // While the disk fails, only durable results are reported.
    if (this.#options.writes.fault !== undefined) return false;
    return this.#jobs.size < MAX_JOBS && this.#bytes + bytes <= MAX_BYTES;
  }

  /** Looks up an unwritten job. */
  get(id: string): WriteBehindJob | undefined {
    return this.#jobs.get(id);
  }

  /** Why a job was dropped; `undefined` if it was not. */
  dropReason(record: JobRecord): PlasmError | undefined {
    return this.#dropped.get(record);
  }

  /** Buffers an accepted job. */
  add(record: JobRecord, options: { blobs: Iterable<string>; position: number }): void {
    const entry: WriteBehindJob = {
      record,
      blobs: new Set(options.blobs),
      events: [{
        id: 1,
        type: "queued",
        at: record.createdAt,
        jobId: record.id,
        position: options.position,
      }],
      dueAt: performance.now() + UNFINISHED_MS,
    };
    this.#jobs.set(record.id, entry);
    this.#writeLater();
  }

  /** Records a start; returns the attempt number. */
  start({ record, events }: WriteBehindJob, at: number): number {
    record.state = "running";
    record.startedAt = at;
    const attempt = ++record.attempts;
    events.push({ id: events.length + 1, type: "started", at, attempt });
    return attempt;
  }

  /** Records the result and the last events. */
  finish(entry: WriteBehindJob, end: JobEnd, events: readonly NewEvent[]): void {
    const { record } = entry;
    for (const event of events) {
      entry.events.push({ ...event, id: entry.events.length + 1 } as RecordedEvent);
      if (!("data" in event)) continue;
      const bytes = event.offset + event.data.length;
      if (event.type === "stdout") record.stdoutBytes = bytes;
      else if (event.type === "stderr") record.stderrBytes = bytes;
      else record.filesBytes = bytes;
      this.#bytes += event.data.length;
    }
    applyEnd(record, end);
    entry.dueAt = performance.now() + FINISHED_MS;
    this.#writeLater();
  }

  /** Removes a job that was written or will never be. */
  delete(entry: WriteBehindJob): void {
    if (!this.#jobs.delete(entry.record.id)) return;
    for (const event of entry.events) {
      if ("data" in event) this.#bytes -= event.data.length;
    }
  }

  /** Writes all jobs immediately. */
  settle(): void {
    if (this.#jobs.size > 0) this.write([...this.#jobs.values()]);
  }

  /** Writes the given jobs immediately. */
  write(jobs: readonly WriteBehindJob[]): void {
    if (jobs.length === 0) return;
    const { writes, insert } = this.#options;
    const outcomes = writes.writeNow("save job", jobs.map((entry) => () => insert(entry)));
    for (const [n, outcome] of outcomes.entries()) {
      const entry = jobs[n]!;
      if ("value" in outcome) {
        entry.record.seq = outcome.value;
        this.delete(entry);
      } else if (entry.record.finishedAt === null) {
        this.delete(entry);
        this.#dropped.set(entry.record, outcome.error);
      } else entry.dueAt = performance.now() + RETRY_MS; // already acknowledged: retry until it is written
    }
  }

  #writeLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // Include jobs that are due before the next tick.
      const until = performance.now() + FINISHED_MS;
      this.write([...this.#jobs.values()].filter(({ dueAt }) => dueAt <= until));
      if (this.#jobs.size > 0) this.#writeLater();
    }, FINISHED_MS);
  }

  /** Writes all jobs and stops the timer. */
  close(): void {
    this.settle();
    clearTimeout(this.#timer);
  }
}

/** Yields the buffered bytes of a stream from an offset. */
export function* bufferedOutput(
  { events }: WriteBehindJob,
  stream: OutputStream,
  offset: number,
): Generator<Uint8Array, void, void> {
  for (const event of events) {
    if (event.type !== stream) continue;
    const from = Math.max(0, offset - event.offset);
    if (from < event.data.length) yield event.data.subarray(from);
  }
}
