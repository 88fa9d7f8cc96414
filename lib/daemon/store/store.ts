/**
 * Persists jobs, events, outputs and receipts in one directory.
 * @module
 */
import type { PlasmError } from "../../core/errors/mod.ts";
import { Notifier } from "../../util/mod.ts";
import { BlobStore } from "./blob_store.ts";
import { EventTable, JobHistory } from "./event_table.ts";
import { GroupCommit, type WriteOptions } from "./group_commit.ts";
import {
  type JobRecord,
  type NewEvent,
  type NewJob,
  newRecord,
  type OutputStream,
  type RecordedEvent,
} from "./job_record.ts";
import { type EndedJob, type JobEnd, JobTable, type ListJobsOptions } from "./job_table.ts";
import { type Damage, markClean, openOrRecover } from "./recovery.ts";
import { SpillFiles } from "./spill_files.ts";
import { WriteBehind, type WriteBehindJob } from "./write_behind.ts";
import type { DatabaseSync } from "node:sqlite";

/** Output per stream stored in the database, in bytes; the rest goes to a spill file. */
export const INLINE_OUTPUT_BYTES = 256 * 1024;

/** Output per event, in bytes; the event stream encodes it in one base64 line. */
const EVENT_BYTES = 64 * 1024;

/** Persistent job store. */
export class JobStore implements Disposable {
  /** Modules and inputs. */
  readonly blobs: BlobStore;
  /** Notifies readers of new events, by job id. */
  readonly changes: Notifier = new Notifier();
  /** Report of the recovery at open; undefined when the database was intact. */
  readonly damage: Damage | undefined;
  readonly #path: string;
  readonly #db: DatabaseSync;
  readonly #writes: GroupCommit;
  readonly #jobs: JobTable;
  readonly #events: EventTable;
  readonly #files: SpillFiles;
  /** Unfinished jobs whose output this process has spilled. */
  readonly #spilled = new Set<string>();
  readonly #writeBehind: WriteBehind;
  readonly #history: JobHistory;
  #savedBytes = 0;

  /** @throws {PlasmError} `state` */
  constructor(dir: string, options: JobStoreOptions) {
    this.#path = `${dir}/jobs.db`;
    const { db, damage } = openOrRecover(this.#path);
    this.#db = db;
    this.damage = damage;
    this.#writes = new GroupCommit(this.#db, this.#path);
    this.#jobs = new JobTable(this.#db);
    this.#events = new EventTable(this.#db);
    this.#writeBehind = new WriteBehind({
      writes: this.#writes,
      insert: (late) => this.#insert(late),
    });
    this.#files = new SpillFiles(`${dir}/outputs`);
    this.#history = new JobHistory({
      events: this.#events,
      files: this.#files,
      late: this.#writeBehind,
    });
    this.blobs = new BlobStore(this.#db, {
      dir: `${dir}/blobs`,
      maxBytes: options.cacheBytes,
      writes: this.#writes,
    });
  }

  /** Last storage error; cleared by the next successful write. */
  get fault(): PlasmError | undefined {
    return this.#writes.fault;
  }

  /** Output bytes saved since the store was opened. */
  get savedBytes(): number {
    return this.#savedBytes;
  }

  /** Looks up a job. */
  get(id: string): JobRecord | undefined {
    return this.#writeBehind.get(id)?.record ?? this.#jobs.get(id);
  }

  /** Lists jobs, newest first. */
  list(options?: ListJobsOptions): JobRecord[] {
    this.settle();
    return this.#jobs.list(options);
  }

  /** Lists unfinished jobs in order of acceptance. */
  unfinished(): JobRecord[] {
    this.settle();
    return this.#jobs.unfinished();
  }

  /** Lists all jobs submitted by peers. */
  ofPeers(): { seq: number; id: string }[] {
    this.settle();
    return this.#jobs.ofPeers();
  }

  /** Counts jobs by state. */
  counts(): Record<JobRecord["state"], number> {
    this.settle();
    return this.#jobs.counts();
  }

  /**
   * Saves an accepted job and pins its blobs. The job is durable when `saved` resolves. With `"buffered"` it is
   * written behind (see write_behind.ts): its record has no `seq` until then, and `saved` resolves at its end.
   *
   * @throws {PlasmError} `state`, `not-found`, through `saved`
   */
  accept(
    job: NewJob,
    options: AcceptJobOptions,
  ): { record: JobRecord; saved: Promise<void> } {
    const record = newRecord(job);
    this.#settleOne(job); // so that a duplicate id is found in the database
    const { durability, isNew = false } = options;
    if (
      durability === "buffered" && this.#writeBehind.hasCapacity() &&
      (isNew || !this.#jobs.has(job.id))
    ) {
      const saved = this.#writeBehind.add(record, options);
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

  /** Writes all write-behind jobs immediately. */
  settle(): void {
    this.#writeBehind.settle();
  }

  /** Finds the write-behind entry of this record, not of another with the same id. */
  #lateOf(job: JobRecord): WriteBehindJob | undefined {
    const late = this.#writeBehind.get(job.id);
    return late?.record === job ? late : undefined;
  }

  /** Writes a write-behind job so that the next change updates its row. */
  #settleOne({ id }: { id: string }): void {
    const late = this.#writeBehind.get(id);
    if (late !== undefined) this.#writeBehind.write([late]);
  }

  #insert({ record, blobs, events }: WriteBehindJob): number {
    const seq = this.#jobs.insert(record, events.at(-1)?.id);
    // A finished job needs no pins.
    if (record.finishedAt === null) this.#jobs.pin(seq, blobs);
    for (const hash of blobs) this.blobs.touch(hash, record.createdAt);
    for (const { id, ...event } of events) this.#events.insert(seq, id, event as NewEvent);
    return seq;
  }

  /** Records a start; returns the attempt number. */
  async start(job: JobRecord, at: number, options?: WriteOptions): Promise<number> {
    const late = this.#lateOf(job);
    const attempt = late !== undefined
      ? this.#writeBehind.start(late, at)
      : await this.#writes.write("start job", () => {
        const number = this.#jobs.start(job.seq, at);
        this.#events.append(job.seq, { type: "started", at, attempt: number });
        return number;
      }, options);
    this.changes.notify(job.id);
    return attempt;
  }

  /** Saves output; bytes beyond {@linkcode INLINE_OUTPUT_BYTES} go to a spill file. */
  async output(job: JobRecord, at: number, chunks: readonly OutputChunk[]): Promise<void> {
    this.#settleOne(job);
    const events = await this.#outputEvents(job, at, chunks);
    // Spilled output and its rows become durable together, at the job's end.
    const durability = events.some((event) => "data" in event) ? "fsync" : "commit";
    await this.#writes.write("save output", () => {
      for (const event of events) this.#events.append(job.seq, event);
    }, { durability });
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
   * Saves the result, the remaining output, the last event and the receipt atomically.
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
    if (late !== undefined && isSmall && this.#writeBehind.hasCapacity(bytes)) {
      const { at } = event;
      const outputs = rest.map(({ stream: type, offset, data }) => ({ type, at, offset, data }));
      this.#writeBehind.finish(late, end, [...outputs, event]);
      this.#savedBytes += bytes;
      return this.changes.notify(job.id);
    }
    this.#settleOne(job);
    const events = await this.#outputEvents(job, event.at, rest);
    // An earlier process may have spilled too.
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
   * Makes all saved data durable.
   *
   * @throws {PlasmError} `state`
   */
  async sync(): Promise<void> {
    this.settle();
    await this.#writes.write("save jobs", () => {});
    this.#writes.sync();
  }

  /** Re-queues a running job and deletes its output. */
  async requeue(job: JobRecord, at: number): Promise<void> {
    this.#settleOne(job);
    await this.#writes.write("queue job again", () => {
      this.#jobs.requeue(job.seq);
      this.#events.deleteOutput(job.seq);
      this.#events.append(job.seq, { type: "interrupted", at, rerun: true });
    });
    this.#spilled.delete(job.id);
    this.#files.remove(job.id);
    this.changes.notify(job.id);
  }

  /** Reads the next page of events after an id; empty when there are none yet. */
  eventsAfter(job: JobRecord, id: number): Promise<RecordedEvent[]> {
    return this.#history.after(job, id);
  }

  /** Whether events after an id exist. */
  hasEventsAfter(job: JobRecord, id: number): boolean {
    return this.#history.hasAfter(job, id);
  }

  /** Yields the stored bytes of a stream from an offset. */
  readOutput(
    job: JobRecord,
    stream: OutputStream,
    offset = 0,
  ): AsyncGenerator<Uint8Array, void, void> {
    return this.#history.output(job, stream, offset);
  }

  /** Total size of finished jobs, in bytes. */
  endedBytes(): number {
    this.settle();
    return this.#jobs.endedBytes();
  }

  /** Lists jobs finished before a time, oldest first. */
  endedBefore(time: number, limit: number): EndedJob[] {
    this.settle();
    return this.#jobs.endedBefore(time, limit);
  }

  /** Deletes jobs with their events and outputs. */
  async delete(
    jobs: readonly { seq: number; id: string }[],
    options?: WriteOptions,
  ): Promise<void> {
    const late = jobs.flatMap(({ id }) => this.#writeBehind.get(id) ?? []);
    for (const job of late) this.#writeBehind.delete(job);
    // Unwritten jobs have no spill files.
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

  /** Limits the database size, in pages of 4 KiB; SQLite never shrinks below the current size. */
  limitPages(pages: number): void {
    this.#db.exec(`PRAGMA max_page_count = ${pages}`);
  }

  /** Deletes spill files of unknown jobs; returns their number. */
  removeStrays(): number {
    return this.#files.removeStrays((id) => this.get(id) !== undefined);
  }

  /** Commits queued writes and closes the database. */
  [Symbol.dispose](): void {
    this.#writeBehind.close();
    this.#writes.close();
    this.#db.close();
    markClean(this.#path);
  }
}

/** Options of {@linkcode JobStore}. */
export interface JobStoreOptions {
  /** Size limit of the blob store, in bytes. */
  cacheBytes: number;
}

/** Options of {@linkcode JobStore.accept}. */
export interface AcceptJobOptions extends WriteOptions {
  /** Required modules and inputs. */
  blobs: Iterable<string>;
  /** Number of jobs queued before it. */
  position: number;
  /** Whether the id was just generated and needs no duplicate check. @default {false} */
  isNew?: boolean | undefined;
}

/** Contiguous bytes of a stream. */
export interface OutputChunk {
  stream: OutputStream;
  offset: number;
  data: Uint8Array;
}
