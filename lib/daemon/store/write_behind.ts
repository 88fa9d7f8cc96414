/**
 * Write-behind of short jobs: one insert at the end costs a fraction of an insert and several updates.
 * @module
 */
import type { JobRecord, NewEvent, OutputStream, RecordedEvent } from "./job_record.ts";
import type { JobEnd } from "./job_table.ts";
import type { GroupCommit } from "./group_commit.ts";

/** Delay before a finished job is written, in ms; jobs within it share a commit. */
const LATE_MS = 20;

/** Delay before an unfinished job is written, in ms; it has not been acknowledged yet. */
const OPEN_MS = 100;

/** Delay before a failed write of a finished job is retried, in ms. */
const AGAIN_MS = 2000;

/** Limits on unwritten jobs and their output: the history that a crash can lose. */
const MAX_JOBS = 256;
const MAX_BYTES = 4 * 2 ** 20;

/** Unwritten job and its events, with the ids that the database would assign. */
export interface WriteBehindJob {
  readonly record: JobRecord;
  /** Required modules and inputs. */
  readonly blobs: ReadonlySet<string>;
  readonly events: RecordedEvent[];
  /** Write deadline, by performance.now(). */
  dueAt: number;
  /** Resolves when the job is written, or finished and served from memory; rejects when the write failed. */
  readonly saved: PromiseWithResolvers<void>;
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
  record.peer = end.peer ?? null;
  record.startedAt = end.startedAt ?? record.startedAt;
  record.stdinHash = end.stdinHash ?? record.stdinHash;
  record.finishedAt = end.finishedAt;
  record.stdin = null;
}

/** Unwritten jobs, in order of acceptance. */
export class WriteBehind {
  readonly #options: WriteBehindOptions;
  readonly #jobs = new Map<string, WriteBehindJob>();
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

  /** Buffers an accepted job; resolves when it is saved. */
  add(record: JobRecord, options: { blobs: Iterable<string>; position: number }): Promise<void> {
    const late: WriteBehindJob = {
      record,
      blobs: new Set(options.blobs),
      events: [{ id: 1, type: "queued", at: record.createdAt, position: options.position }],
      dueAt: performance.now() + OPEN_MS,
      saved: Promise.withResolvers(),
    };
    this.#jobs.set(record.id, late);
    this.#writeLater();
    return late.saved.promise;
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
  finish(late: WriteBehindJob, end: JobEnd, events: readonly NewEvent[]): void {
    const { record } = late;
    for (const event of events) {
      late.events.push({ ...event, id: late.events.length + 1 } as RecordedEvent);
      if (!("data" in event)) continue;
      const bytes = event.offset + event.data.length;
      if (event.type === "stdout") record.stdoutBytes = bytes;
      else record.stderrBytes = bytes;
      this.#bytes += event.data.length;
    }
    applyEnd(record, end);
    late.dueAt = performance.now() + LATE_MS;
    late.saved.resolve();
    this.#writeLater();
  }

  /** Removes a job that was written or will never be. */
  delete(late: WriteBehindJob): void {
    if (!this.#jobs.delete(late.record.id)) return;
    for (const event of late.events) {
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
    const outcomes = writes.writeNow("save job", jobs.map((late) => () => insert(late)));
    for (const [n, outcome] of outcomes.entries()) {
      const late = jobs[n]!;
      if ("value" in outcome) {
        late.record.seq = outcome.value;
        this.delete(late);
        late.saved.resolve();
      } else if (late.record.finishedAt === null) {
        this.delete(late);
        late.saved.reject(outcome.error);
      } else late.dueAt = performance.now() + AGAIN_MS; // already reported: retry until it is written
    }
  }

  #writeLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // Include jobs that are due before the next tick.
      const until = performance.now() + LATE_MS;
      this.write([...this.#jobs.values()].filter(({ dueAt }) => dueAt <= until));
      if (this.#jobs.size > 0) this.#writeLater();
    }, LATE_MS);
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
