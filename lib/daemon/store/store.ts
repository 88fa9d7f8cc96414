/**
 * The job store: every job, event, output and receipt, in one directory.
 * @module
 */
import type { PlasmError } from "../../core/errors/mod.ts";
import { Notifier } from "../../util/mod.ts";
import { BlobStore } from "./blob_store.ts";
import { EventTable, JobHistory } from "./event_table.ts";
import { type WriteOptions, WriteQueue } from "./group_commit.ts";
import {
  type JobRecord,
  type NewEvent,
  type NewJob,
  newRecord,
  type OutputStream,
  type RecordedEvent,
} from "./job_record.ts";
import { type EndedJob, type JobEnd, JobTable, type ListJobsOptions } from "./job_table.ts";
import { type Damage, markClean, openOrSalvage } from "./recovery.ts";
import { SpillFiles } from "./spill_files.ts";
import { type LateJob, LateJobs } from "./write_behind.ts";
import type { DatabaseSync } from "node:sqlite";

/** Output of a stream up to here is kept in the database, beyond it in a file; in bytes. */
export const INLINE_OUTPUT_BYTES = 256 * 1024;

/** Output in one event, in bytes: a line of the event stream holds it in base64. */
const EVENT_BYTES = 64 * 1024;

/** The job store. */
export class JobStore implements Disposable {
  /** Modules and inputs. */
  readonly blobs: BlobStore;
  /** Tells who waits for a job's events that there are more. */
  readonly changes: Notifier = new Notifier();
  /** What was lost as it was opened; undefined where the database was whole. */
  readonly damage: Damage | undefined;
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #writes: WriteQueue;
  readonly #jobs: JobTable;
  readonly #events: EventTable;
  readonly #files: SpillFiles;
  /** Jobs that are not over and have output in files, as far as this process wrote it. */
  readonly #spilled = new Set<string>();
  readonly #late: LateJobs;
  readonly #history: JobHistory;
  #savedBytes = 0;

  /** @throws {PlasmError} `state` */
  constructor(dir: string, options: JobStoreOptions) {
    this.#path = `${dir}/jobs.db`;
    const { db, damage } = openOrSalvage(this.#path);
    this.#db = db;
    this.damage = damage;
    this.#writes = new WriteQueue(this.#db, this.#path);
    this.#jobs = new JobTable(this.#db);
    this.#events = new EventTable(this.#db);
    this.#late = new LateJobs({ writes: this.#writes, insert: (late) => this.#insert(late) });
    this.#files = new SpillFiles(`${dir}/outputs`);
    this.#history = new JobHistory({ events: this.#events, files: this.#files, late: this.#late });
    this.blobs = new BlobStore(this.#db, {
      dir: `${dir}/blobs`,
      maxBytes: options.cacheBytes,
      writes: this.#writes,
    });
  }

  /** Why the disk refused the last write, until one succeeds. */
  get fault(): PlasmError | undefined {
    return this.#writes.fault;
  }

  /** Bytes of output saved since the store was opened. */
  get savedBytes(): number {
    return this.#savedBytes;
  }

  /** The job with this id. */
  get(id: string): JobRecord | undefined {
    return this.#late.get(id)?.record ?? this.#jobs.get(id);
  }

  /** Jobs, the newest first. */
  list(options?: ListJobsOptions): JobRecord[] {
    this.settle();
    return this.#jobs.list(options);
  }

  /** Jobs that are not over, in order of acceptance. */
  unfinished(): JobRecord[] {
    this.settle();
    return this.#jobs.unfinished();
  }

  /** All jobs of peers, whatever their state. */
  ofPeers(): { seq: number; id: string }[] {
    this.settle();
    return this.#jobs.ofPeers();
  }

  /** How many jobs are in each state. */
  counts(): Record<JobRecord["state"], number> {
    this.settle();
    return this.#jobs.counts();
  }

  /**
   * Saves an accepted job with the blobs it needs. Once `saved` resolves, no crash loses it. One that
   * need not be durable is written a little later (see late_jobs.ts); until then its record has no `seq`,
   * and at its end `saved` resolves all the same.
   *
   * @throws {PlasmError} `state`, `not-found`, by way of `saved`
   */
  accept(
    job: NewJob,
    options: AcceptJobOptions,
  ): { record: JobRecord; saved: Promise<void> } {
    const record = newRecord(job);
    this.#settleOne(job); // whoever asks for a name that is taken finds it in the database
    const { durable, isNew = false } = options;
    if (durable === false && this.#late.hasRoom() && (isNew || !this.#jobs.has(job.id))) {
      const saved = this.#late.add(record, options);
      this.changes.notify(job.id);
      return { record, saved };
    }
    const saved = this.#writes.write("save job", () => {
      const seq = this.#jobs.insert(record);
      this.#jobs.pin(seq, options.blobs);
      for (const hash of options.blobs) this.blobs.touch(hash, job.createdAt);
      const { createdAt: at } = job;
      this.#events.append(seq, { type: "queued", at, position: options.position });
      record.seq = seq;
    }, options).then(() => this.changes.notify(job.id));
    return { record, saved };
  }

  /** Writes all jobs that are held back, now. */
  settle(): void {
    this.#late.settle();
  }

  /** The job, if it is held back; another may have asked for its name. */
  #lateOf(job: JobRecord): LateJob | undefined {
    const late = this.#late.get(job.id);
    return late?.record === job ? late : undefined;
  }

  /** Writes a job that is held back: what happens to it next is its row's. */
  #settleOne({ id }: { id: string }): void {
    const late = this.#late.get(id);
    if (late !== undefined) this.#late.write([late]);
  }

  #insert({ record, blobs, events }: LateJob): number {
    const seq = this.#jobs.insert(record, events.at(-1)?.id);
    // What is over needs nothing any more.
    if (record.finishedAt === null) this.#jobs.pin(seq, blobs);
    for (const hash of blobs) this.blobs.touch(hash, record.createdAt);
    for (const { id, ...event } of events) this.#events.insert(seq, id, event as NewEvent);
    return seq;
  }

  /** Notes that a job is about to start; returns which attempt this is. */
  async start(job: JobRecord, at: number, options?: WriteOptions): Promise<number> {
    const late = this.#lateOf(job);
    const attempt = late !== undefined
      ? this.#late.start(late, at)
      : await this.#writes.write("start job", () => {
        const number = this.#jobs.start(job.seq, at);
        this.#events.append(job.seq, { type: "started", at, attempt: number });
        return number;
      }, options);
    this.changes.notify(job.id);
    return attempt;
  }

  /** Saves output; what reaches beyond {@linkcode INLINE_OUTPUT_BYTES} goes to a file. */
  async output(job: JobRecord, at: number, chunks: readonly OutputChunk[]): Promise<void> {
    this.#settleOne(job);
    const events = await this.#outputEvents(job, at, chunks);
    // What is in a file reaches the disk with the job's end, and the rows that tell of it as well.
    const durable = events.some((event) => "data" in event);
    await this.#writes.write("save output", () => {
      for (const event of events) this.#events.append(job.seq, event);
    }, { durable, atOnce: true });
    for (const { data } of chunks) this.#savedBytes += data.length;
    this.changes.notify(job.id);
  }

  async #outputEvents(
    job: JobRecord,
    at: number,
    chunks: readonly OutputChunk[],
  ): Promise<NewEvent[]> {
    const events: NewEvent[] = [];
    for (const { stream, offset, data } of chunks) {
      if (offset + data.length <= INLINE_OUTPUT_BYTES) {
        events.push({ type: stream, at, offset, data });
      } else {
        this.#spilled.add(job.id);
        await this.#files.write(job.id, stream, offset, data);
        for (let from = 0; from < data.length; from += EVENT_BYTES) {
          const length = Math.min(EVENT_BYTES, data.length - from);
          events.push({ type: stream, at, offset: offset + from, length });
        }
      }
    }
    return events;
  }

  /**
   * Saves how a job ended, its last output, its last event and its receipt, together.
   *
   * @throws {PlasmError} `state`
   */
  async finish(
    job: JobRecord,
    end: JobEnd,
    event: NewEvent,
    rest: readonly OutputChunk[] = [],
  ): Promise<void> {
    const late = this.#lateOf(job);
    const bytes = rest.reduce((sum, { data }) => sum + data.length, 0);
    const isSmall = rest.every(({ offset, data }) => offset + data.length <= INLINE_OUTPUT_BYTES);
    if (late !== undefined && isSmall && this.#late.hasRoom(bytes)) {
      const { at } = event;
      const outputs = rest.map(({ stream: type, offset, data }) => ({ type, at, offset, data }));
      this.#late.finish(late, end, [...outputs, event]);
      this.#savedBytes += bytes;
      return this.changes.notify(job.id);
    }
    this.#settleOne(job);
    const events = await this.#outputEvents(job, event.at, rest);
    // A process before this one may have spilled as well.
    const { stdoutBytes, stderrBytes } = job;
    const isLarge = Math.max(stdoutBytes, stderrBytes) > INLINE_OUTPUT_BYTES;
    if (isLarge || this.#spilled.has(job.id)) await this.#files.sync(job.id);
    await this.#writes.write("save result", () => {
      for (const output of events) this.#events.append(job.seq, output);
      this.#jobs.finish(job.seq, end);
      this.#events.append(job.seq, event);
    });
    this.#spilled.delete(job.id);
    this.#savedBytes += bytes;
    this.changes.notify(job.id);
  }

  /**
   * Makes all that was saved until now outlast a power cut.
   *
   * @throws {PlasmError} `state`
   */
  async sync(): Promise<void> {
    this.settle();
    await this.#writes.write("save jobs", () => {});
    this.#writes.sync();
  }

  /** Puts a job that was running back into the queue and forgets its output. */
  async requeue(job: JobRecord, at: number): Promise<void> {
    this.#settleOne(job);
    await this.#writes.write("queue job again", () => {
      this.#jobs.requeue(job.seq);
      this.#events.forgetOutput(job.seq);
      this.#events.append(job.seq, { type: "interrupted", at, rerun: true });
    });
    this.#spilled.delete(job.id);
    this.#files.remove(job.id);
    this.changes.notify(job.id);
  }

  /** The next few events after an id; none when there are no more yet. */
  eventsAfter(job: JobRecord, id: number): Promise<RecordedEvent[]> {
    return this.#history.after(job, id);
  }

  /** Whether there are events after an id, now. */
  hasEventsAfter(job: JobRecord, id: number): boolean {
    return this.#history.hasAfter(job, id);
  }

  /** The bytes of a stream from an offset on, as far as they are there. */
  readOutput(
    job: JobRecord,
    stream: OutputStream,
    offset = 0,
  ): AsyncGenerator<Uint8Array, void, void> {
    return this.#history.output(job, stream, offset);
  }

  /** Bytes that ended jobs take. */
  endedBytes(): number {
    this.settle();
    return this.#jobs.endedBytes();
  }

  /** Jobs that ended before a time, the oldest first. */
  endedBefore(time: number, limit: number): EndedJob[] {
    this.settle();
    return this.#jobs.endedBefore(time, limit);
  }

  /** Deletes jobs with all that belongs to them. */
  async delete(
    jobs: readonly { seq: number; id: string }[],
    options?: WriteOptions,
  ): Promise<void> {
    const late = jobs.flatMap(({ id }) => this.#late.get(id) ?? []);
    for (const job of late) this.#late.delete(job);
    // What is not written yet has no files either.
    const unwritten = new Set(late.map(({ record }) => record.id));
    const stored = jobs.filter(({ seq }) => seq > 0);
    if (stored.length > 0) {
      await this.#writes.write("delete jobs", () => {
        for (const { seq } of stored) this.#jobs.delete(seq);
      }, options);
    }
    for (const { id } of jobs) {
      if (!unwritten.has(id)) this.#files.remove(id);
      this.changes.notify(id);
    }
  }

  /** Bounds the database's size, in pages of 4 KiB; SQLite never goes below what it has already. */
  limitPages(pages: number): void {
    this.#db.exec(`PRAGMA max_page_count = ${pages}`);
  }

  /** Deletes output files of jobs that are not in the store; returns how many. */
  removeStrays(): number {
    return this.#files.removeStrays((id) => this.get(id) !== undefined);
  }

  /** Commits what waits and closes the database. */
  [Symbol.dispose](): void {
    this.#late.close();
    this.#writes.close();
    this.#db.close();
    markClean(this.#path);
  }
}

/** Options of the job store. */
export interface JobStoreOptions {
  /** Size of the cache of modules and inputs, in bytes. */
  cacheBytes: number;
}

/** Options of accepting a job. */
export interface AcceptJobOptions extends WriteOptions {
  /** Modules and inputs that it needs. */
  blobs: Iterable<string>;
  /** Jobs before it. */
  position: number;
  /** Whether its name has just been drawn, so that no other job has it. @default {false} */
  isNew?: boolean | undefined;
}

/** Bytes of a stream, in order. */
export interface OutputChunk {
  stream: OutputStream;
  offset: number;
  data: Uint8Array;
}
