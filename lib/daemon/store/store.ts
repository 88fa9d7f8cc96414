/**
 * Persists jobs, events, outputs and receipts in one directory.
 * @module
 */
import type { PlasmError } from "../../core/errors/mod.ts";
import { Notifier } from "../../util/mod.ts";
import { BlobStore } from "./blob_store.ts";
import { type EventFilter, EventTable, JobHistory, type OutputOptions } from "./job_history.ts";
import { GroupCommit, type WriteOptions } from "./group_commit.ts";
import {
  type JobRecord,
  type NewEvent,
  type NewJob,
  newRecord,
  type OutputStream,
  type RecordedEvent,
} from "./job_table.ts";
import {
  type EndedJob,
  type JobEnd,
  JobTable,
  type ListJobsOptions,
  type SubmitterUsage,
} from "./job_table.ts";
import { type Damage, markClean, openOrRecover } from "./recovery.ts";
import { SpillFiles } from "./job_history.ts";
import { WriteBehind, type WriteBehindJob } from "./write_behind.ts";
import type { DatabaseSync } from "node:sqlite";

/** Output per stream stored in the database, in bytes; the rest goes to a spill file. */
export const INLINE_OUTPUT_BYTES = 256 * 1024;

/** Standard output or error per event, in bytes; the event stream encodes it in one base64 line. */
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
  /** Jobs accepted by this process as buffered; their start need not be durable either. */
  readonly #buffered = new WeakSet<JobRecord>();
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
      insert: (entry) => this.#insert(entry),
    });
    this.#files = new SpillFiles(`${dir}/outputs`);
    this.#history = new JobHistory({
      events: this.#events,
      files: this.#files,
      writeBehind: this.#writeBehind,
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

  /** Reads a job again; `undefined` if it was deleted or dropped (see {@linkcode JobStore.acknowledged}). */
  reload(job: JobRecord): JobRecord | undefined {
    return this.#writeBehind.dropReason(job) === undefined ? this.get(job.id) : undefined;
  }

  /** Lists jobs, newest first. */
  list(options?: ListJobsOptions): JobRecord[] {
    this.#settle();
    return this.#jobs.list(options);
  }

  /** Lists unfinished jobs in order of acceptance. */
  unfinished(): JobRecord[] {
    this.#settle();
    return this.#jobs.unfinished();
  }

  /** Lists all jobs submitted by peers. */
  ofPeers(): { id: string }[] {
    this.#settle();
    return this.#jobs.ofPeers();
  }

  /** Counts jobs by state. */
  counts(): Record<JobRecord["state"], number> {
    this.#settle();
    return this.#jobs.counts();
  }

  /**
   * Stores an accepted job and pins its blobs; resolves once the job has the requested durability. A buffered job is
   * written behind (see write_behind.ts); when that is full, `accept()` waits for the next commit instead.
   *
   * @throws {PlasmError} `state`; `not-found` if a blob is missing
   */
  async accept(job: NewJob, options: AcceptJobOptions): Promise<JobRecord> {
    const record = newRecord(job);
    this.#settleOne(job); // so that a duplicate id is found in the database
    const { durability, isNew = false } = options;
    if (durability === "buffered") this.#buffered.add(record);
    if (
      durability === "buffered" && this.#writeBehind.hasCapacity() &&
      (isNew || !this.#jobs.has(job.id))
    ) {
      this.#writeBehind.add(record, options);
      this.changes.notify(job.id);
      return record;
    }
    await this.#writes.write("save job", () => {
      const seq = this.#jobs.insert(record);
      this.#jobs.pin(seq, options.blobs);
      for (const hash of options.blobs) this.blobs.touch(hash, job.createdAt);
      const { id: jobId, createdAt: at } = job;
      this.#events.append(seq, { type: "queued", at, jobId, position: options.position });
      record.seq = seq;
    }, options);
    this.changes.notify(job.id);
    return record;
  }

  /**
   * Resolves once the job has the requested durability, so that its state may be sent to the client.
   *
   * @throws {PlasmError} `state`, `not-found` if a buffered job could not be written and was dropped
   */
  async acknowledged(
    job: JobRecord,
    { durability }: Required<Pick<AcceptJobOptions, "durability">>,
  ): Promise<void> {
    if (durability === "fsync") await this.sync();
    else if (durability === "commit") this.#settle();
    const reason = this.#writeBehind.dropReason(job);
    if (reason !== undefined) throw reason;
  }

  /** Writes all write-behind jobs immediately. */
  #settle(): void {
    this.#writeBehind.settle();
  }

  /** Finds the write-behind entry of this record, not of another with the same id. */
  #entryOf(job: JobRecord): WriteBehindJob | undefined {
    const entry = this.#writeBehind.get(job.id);
    return entry?.record === job ? entry : undefined;
  }

  /** Writes a write-behind job so that the next change updates its row. */
  #settleOne({ id }: { id: string }): void {
    const entry = this.#writeBehind.get(id);
    if (entry !== undefined) this.#writeBehind.write([entry]);
  }

  #insert({ record, blobs, events }: WriteBehindJob): number {
    const seq = this.#jobs.insert(record, events.at(-1)?.id);
    // A finished job needs no pins.
    if (record.finishedAt === null) this.#jobs.pin(seq, blobs);
    for (const hash of blobs) this.blobs.touch(hash, record.createdAt);
    for (const { id, ...event } of events) this.#events.insert(seq, id, event as NewEvent);
    return seq;
  }

  /** Records a start, as durably as the job was accepted; returns the attempt number. */
  async start(job: JobRecord, at: number): Promise<number> {
    const durability = this.#buffered.has(job) ? "buffered" : "fsync";
    const entry = this.#entryOf(job);
    const attempt = entry !== undefined
      ? this.#writeBehind.start(entry, at)
      : await this.#writes.write("start job", () => {
        const number = this.#jobs.start(job.seq, at);
        this.#events.append(job.seq, { type: "started", at, attempt: number });
        return number;
      }, { durability });
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
        const most = stream === "files" ? data.length : EVENT_BYTES;
        for (let from = 0; from < data.length; from += most) {
          const length = Math.min(most, data.length - from);
          events.push({ type: stream, at, offset: offset + from, length });
        }
      }
    }
    return events;
  }

  /**
   * Saves the result, the remaining output, the last event and the receipt atomically. Does nothing if the job was
   * dropped: {@linkcode JobStore.acknowledged} then reports why.
   *
   * @throws {PlasmError} `state`
   */
  async finish(
    job: JobRecord,
    end: JobEnd,
    event: NewEvent,
    rest: readonly OutputChunk[] = [],
  ): Promise<void> {
    const entry = this.#entryOf(job);
    const bytes = rest.reduce((sum, { data }) => sum + data.length, 0);
    const isSmall = rest.every(({ offset, data }) => offset + data.length <= INLINE_OUTPUT_BYTES);
    if (entry !== undefined && isSmall && this.#writeBehind.hasCapacity(bytes)) {
      const { at } = event;
      const outputs = rest.map(({ stream: type, offset, data }) => ({ type, at, offset, data }));
      this.#writeBehind.finish(entry, end, [...outputs, event]);
      this.#savedBytes += bytes;
      return this.changes.notify(job.id);
    }
    this.#settleOne(job);
    if (this.#writeBehind.dropReason(job) !== undefined) return;
    const events = await this.#outputEvents(job, event.at, rest);
    // An earlier process may have spilled too.
    const { stdoutBytes, stderrBytes, filesBytes } = job;
    const isLarge = Math.max(stdoutBytes, stderrBytes, filesBytes) > INLINE_OUTPUT_BYTES;
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
    this.#settle();
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
  eventsAfter(job: JobRecord, id: number, filter?: EventFilter): Promise<RecordedEvent[]> {
    return this.#history.after(job, id, filter);
  }

  /** Whether events after an id exist. */
  hasEventsAfter(job: JobRecord, id: number, filter?: EventFilter): boolean {
    return this.#history.hasAfter(job, id, filter);
  }

  /** Yields the stored bytes of a stream. */
  readOutput(
    job: JobRecord,
    stream: OutputStream,
    options?: OutputOptions,
  ): AsyncGenerator<Uint8Array, void, void> {
    return this.#history.output(job, stream, options);
  }

  /** Lists usage by submitter, the largest CPU time first, with at most `limit` names. */
  usage(limit: number): SubmitterUsage[] {
    this.#settle();
    return this.#jobs.usage(limit);
  }

  /** Limits the number of submitters whose usage is stored. */
  async trimUsage(max: number): Promise<void> {
    await this.#writes.write("limit usage records", () => this.#jobs.trimUsage(max), {
      durability: "buffered",
    });
  }

  /** Total size of finished jobs, in bytes. */
  endedBytes(): number {
    this.#settle();
    return this.#jobs.endedBytes();
  }

  /** Lists jobs finished before a time, oldest first. */
  endedBefore(time: number, limit: number): EndedJob[] {
    this.#settle();
    return this.#jobs.endedBefore(time, limit);
  }

  /** Deletes jobs with their events and outputs. */
  async delete(jobs: readonly { id: string }[], options?: WriteOptions): Promise<void> {
    const entries = jobs.flatMap(({ id }) => this.#writeBehind.get(id) ?? []);
    for (const entry of entries) this.#writeBehind.delete(entry);
    // Unwritten jobs have no spill files.
    const unwritten = new Set(entries.map(({ record }) => record.id));
    const stored = jobs.filter(({ id }) => !unwritten.has(id));
    if (stored.length > 0) {
      await this.#writes.write("delete jobs", () => {
        for (const { id } of stored) this.#jobs.delete(id);
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
    this.#files.close();
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
