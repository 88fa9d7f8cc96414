/**
 * The job store: every job, event, output and receipt, in one directory.
 * @module
 */
import type { DatabaseSync } from "node:sqlite";
import type { PlasmError } from "../../errors.ts";
import type { JobEvent, JobRecord, NewJob, OutputStream } from "../types.ts";
import { BlobStore } from "./blob_store.ts";
import { EventTable, type NewEvent, type StoredEvent } from "./event_table.ts";
import { type EndedJob, type JobEnd, JobTable, type ListJobsOptions } from "./job_table.ts";
import { Notifier } from "./notifier.ts";
import { markClean } from "./clean_mark.ts";
import { type Damage, openOrSalvage } from "./salvage.ts";
import { SpillFiles } from "./spill_files.ts";
import { newRecord } from "./new_record.ts";
import { type WriteOptions, WriteQueue } from "./write_queue.ts";

/** Output of a stream up to here is kept in the database, beyond it in a file; in bytes. */
export const INLINE_OUTPUT_BYTES = 256 * 1024;

/** Output in one event, in bytes: a line of the event stream holds it in base64. */
const EVENT_BYTES = 64 * 1024;

// Rows read at once: output rows hold up to 64 KiB, so that a page stays below 1 MiB.
const PAGE_ROWS = 16;

/** Options of {@linkcode JobStore}. */
export interface JobStoreOptions {
  /** Size of the cache of modules and inputs, in bytes. */
  cacheBytes: number;
}

/** Bytes of a stream, in order. */
export interface OutputChunk {
  stream: OutputStream;
  offset: number;
  data: Uint8Array;
}

/** Makes one of output events that follow each other in a file: one read then gives them all. */
function joinSpilled(events: readonly StoredEvent[]): StoredEvent[] {
  const joined: StoredEvent[] = [];
  for (const event of events) {
    const last = joined.at(-1);
    const follows = last !== undefined && "length" in last && "length" in event &&
      last.data === undefined && event.data === undefined &&
      last.offset + last.length === event.offset;
    if (follows) joined[joined.length - 1] = { ...last, length: last.length + event.length };
    else joined.push(event);
  }
  return joined;
}

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
  #savedBytes = 0;

  /** @throws {PlasmError} `state` */
  constructor(dir: string, options: JobStoreOptions) {
    this.#path = `${dir}/jobs.db`;
    const { db, damage } = openOrSalvage(this.#path);
    this.#db = db;
    this.damage = damage;
    this.#writes = new WriteQueue(this.#db);
    this.#jobs = new JobTable(this.#db);
    this.#events = new EventTable(this.#db);
    this.#files = new SpillFiles(`${dir}/outputs`);
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
    return this.#jobs.get(id);
  }

  /** Jobs, the newest first. */
  list(options?: ListJobsOptions): JobRecord[] {
    return this.#jobs.list(options);
  }

  /** Jobs that are not over, in order of acceptance. */
  unfinished(): JobRecord[] {
    return this.#jobs.unfinished();
  }

  /** All jobs of peers, whatever their state. */
  ofPeers(): { seq: number; id: string }[] {
    return this.#jobs.ofPeers();
  }

  /** How many jobs are in each state. */
  counts(): Record<JobRecord["state"], number> {
    return this.#jobs.counts();
  }

  /**
   * Saves an accepted job with the blobs it needs. Once `saved` resolves, no crash loses it; until then
   * the record has no `seq`, and what is saved of it later is saved with it or after it.
   *
   * @throws {PlasmError} `state`, `not-found`, by way of `saved`
   */
  accept(
    job: NewJob,
    options: { blobs: Iterable<string>; position: number } & WriteOptions,
  ): { record: JobRecord; saved: Promise<void> } {
    const record = newRecord(job);
    const saved = this.#writes.write("save job", () => {
      record.seq = this.#jobs.insert(job, options.blobs);
      for (const hash of options.blobs) this.blobs.touch(hash, job.createdAt);
      const { createdAt: at } = job;
      this.#events.append(record.seq, { type: "queued", at, position: options.position });
    }, options).then(() => this.changes.notify(job.id));
    return { record, saved };
  }

  /** Notes that a job is about to start; returns which attempt this is. */
  async start(job: JobRecord, at: number, options?: WriteOptions): Promise<number> {
    const attempt = await this.#writes.write("start job", () => {
      const number = this.#jobs.start(job.seq, at);
      this.#events.append(job.seq, { type: "started", at, attempt: number });
      return number;
    }, options);
    this.changes.notify(job.id);
    return attempt;
  }

  /** Saves output; what reaches beyond {@linkcode INLINE_OUTPUT_BYTES} goes to a file. */
  async output(job: JobRecord, at: number, chunks: readonly OutputChunk[]): Promise<void> {
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
    for (const { data } of rest) this.#savedBytes += data.length;
    this.changes.notify(job.id);
  }

  /**
   * Makes all that was saved until now outlast a power cut.
   *
   * @throws {PlasmError} `state`
   */
  async sync(): Promise<void> {
    await this.#writes.write("save jobs", () => {});
  }

  /** Puts a job that was running back into the queue and forgets its output. */
  async requeue(job: JobRecord, at: number): Promise<void> {
    await this.#writes.write("queue job again", () => {
      this.#jobs.requeue(job.seq);
      this.#events.forgetOutput(job.seq);
      this.#events.append(job.seq, { type: "interrupted", at, rerun: true });
    });
    this.#spilled.delete(job.id);
    this.#files.remove(job.id);
    this.changes.notify(job.id);
  }

  async #load(job: JobRecord, event: StoredEvent): Promise<JobEvent> {
    if (!("length" in event)) return event;
    const { id, at, type, offset, length } = event;
    const data = event.data ?? await this.#files.read(job.id, type, { offset, length });
    return { id, at, type, offset, data };
  }

  /** The next few events after an id; none when there are no more yet. */
  async eventsAfter(job: JobRecord, id: number): Promise<JobEvent[]> {
    const rows = this.#events.after(job.seq, id, PAGE_ROWS);
    const events: JobEvent[] = [];
    for (const row of rows) events.push(await this.#load(job, row));
    return events;
  }

  /** Whether there are events after an id, now. */
  hasEventsAfter(job: JobRecord, id: number): boolean {
    return this.#events.after(job.seq, id, 1).length > 0;
  }

  /** The bytes of a stream from an offset on, as far as they are there. */
  async *readOutput(
    job: JobRecord,
    stream: OutputStream,
    offset = 0,
  ): AsyncGenerator<Uint8Array, void, void> {
    let next = offset;
    let after = 0;
    while (true) {
      const page = { offset: next, after, limit: PAGE_ROWS };
      const rows = this.#events.output(job.seq, stream, page);
      if (rows.length === 0) return;
      for (const row of joinSpilled(rows)) {
        const event = await this.#load(job, row);
        if (!("data" in event)) continue;
        yield event.data.subarray(next - event.offset);
        next = event.offset + event.data.length;
      }
      after = rows.at(-1)!.id;
    }
  }

  /** Bytes that ended jobs take. */
  endedBytes(): number {
    return this.#jobs.endedBytes();
  }

  /** Jobs that ended before a time, the oldest first. */
  endedBefore(time: number, limit: number): EndedJob[] {
    return this.#jobs.endedBefore(time, limit);
  }

  /** Deletes jobs with all that belongs to them. */
  async delete(
    jobs: readonly { seq: number; id: string }[],
    options?: WriteOptions,
  ): Promise<void> {
    await this.#writes.write("delete jobs", () => {
      for (const { seq } of jobs) this.#jobs.delete(seq);
    }, options);
    for (const { id } of jobs) {
      this.#files.remove(id);
      this.changes.notify(id);
    }
  }

  /**
   * Bounds the database's size, in pages of 4 KiB: writes beyond it meet a full disk. SQLite never goes
   * below what the database has already.
   */
  limitPages(pages: number): void {
    this.#db.exec(`PRAGMA max_page_count = ${pages}`);
  }

  /** Deletes output files of jobs that are not in the store; returns how many. */
  removeStrays(): number {
    return this.#files.removeStrays((id) => this.get(id) !== undefined);
  }

  /** Commits what waits and closes the database. */
  [Symbol.dispose](): void {
    this.#writes.close();
    this.#db.close();
    markClean(this.#path);
  }
}
