/**
 * Jobs that are not in the database yet: most are short, and one row written when they are over costs a
 * fraction of a row that is written first and then changed with each thing that happens.
 * @module
 */
import type { JobRecord, NewEvent, OutputStream, RecordedEvent } from "./job_record.ts";
import type { JobEnd } from "./job_table.ts";
import type { WriteQueue } from "./group_commit.ts";

/** How often jobs are written that are over, in ms: so long they wait for others to share a commit with. */
const LATE_MS = 20;

/** How long one that is not over stays unwritten: its client has been promised nothing. In ms. */
const OPEN_MS = 100;

/** How long a disk that has refused is left alone before jobs that are over are written again, in ms. */
const AGAIN_MS = 2000;

/** Jobs at most, and bytes of their output: what a crash can lose of history. */
const MAX_JOBS = 256;
const MAX_BYTES = 4 * 2 ** 20;

/** A job and what has happened to it, ids as the database would have given them. */
export interface LateJob {
  readonly record: JobRecord;
  /** What it needs to run. */
  readonly blobs: ReadonlySet<string>;
  readonly events: RecordedEvent[];
  /** When it must be written, by performance.now(). */
  dueAt: number;
  /** Settled once it is written, or over and told from memory; or when it could not be written. */
  readonly saved: PromiseWithResolvers<void>;
}

/** Options of {@linkcode LateJobs}. */
export interface LateJobsOptions {
  writes: WriteQueue;
  /** Writes a job with its events and returns its seq. */
  insert: (job: LateJob) => number;
}

/** Puts into a job's record what its row would get at its end. */
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

/** The jobs, in order of acceptance. */
export class LateJobs {
  readonly #options: LateJobsOptions;
  readonly #jobs = new Map<string, LateJob>();
  #bytes = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: LateJobsOptions) {
    this.#options = options;
  }

  /** Whether one more may be held back, or more output of one that is. */
  hasRoom(bytes = 0): boolean {
    // While the disk refuses, nothing is told that is not on it.
    if (this.#options.writes.fault !== undefined) return false;
    return this.#jobs.size < MAX_JOBS && this.#bytes + bytes <= MAX_BYTES;
  }

  /** The job with this id. */
  get(id: string): LateJob | undefined {
    return this.#jobs.get(id);
  }

  /** Takes a job that has just been accepted; tells when it is saved. */
  add(record: JobRecord, options: { blobs: Iterable<string>; position: number }): Promise<void> {
    const late: LateJob = {
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

  /** Notes that a job is about to start; returns which attempt this is. */
  start({ record, events }: LateJob, at: number): number {
    record.state = "running";
    record.startedAt = at;
    const attempt = ++record.attempts;
    events.push({ id: events.length + 1, type: "started", at, attempt });
    return attempt;
  }

  /** Notes how a job ended, with the last of its events. */
  finish(late: LateJob, end: JobEnd, events: readonly NewEvent[]): void {
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

  /** Lets go of a job that has been written, or never will be. */
  delete(late: LateJob): void {
    if (!this.#jobs.delete(late.record.id)) return;
    for (const event of late.events) {
      if ("data" in event) this.#bytes -= event.data.length;
    }
  }

  /** Writes all, now. */
  settle(): void {
    if (this.#jobs.size > 0) this.write([...this.#jobs.values()]);
  }

  /** Writes these, now. */
  write(jobs: readonly LateJob[]): void {
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
      } else late.dueAt = performance.now() + AGAIN_MS; // told already: kept until the disk takes it
    }
  }

  #writeLater(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined;
      // What would be due before the next time goes along.
      const until = performance.now() + LATE_MS;
      this.write([...this.#jobs.values()].filter(({ dueAt }) => dueAt <= until));
      if (this.#jobs.size > 0) this.#writeLater();
    }, LATE_MS);
  }

  /** Writes all for the last time. */
  close(): void {
    this.settle();
    clearTimeout(this.#timer);
  }
}

/** The bytes of a stream from an offset on. */
export function* outputOf(
  { events }: LateJob,
  stream: OutputStream,
  offset: number,
): Generator<Uint8Array, void, void> {
  for (const event of events) {
    if (event.type !== stream) continue;
    const from = Math.max(0, offset - event.offset);
    if (from < event.data.length) yield event.data.subarray(from);
  }
}
