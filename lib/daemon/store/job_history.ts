/**
 * Stores and reads the events of jobs; output too large for the database goes to spill files.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { syncFile } from "../../core/mod.ts";
import { writeAll } from "../../util/mod.ts";
import { stateError } from "./database.ts";
import type { JobRecord, NewEvent, OutputStream, RecordedEvent } from "./job_table.ts";
import { bufferedOutput, type WriteBehind } from "./write_behind.ts";
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** Event whose output may be in a spill file. */
export type StoredEvent =
  | Exclude<RecordedEvent, { type: OutputStream }>
  | {
    id: number;
    at: number;
    type: OutputStream;
    offset: number;
    length: number;
    data?: Uint8Array;
  };

/** Which events to read. */
export interface EventFilter {
  /** Whether to leave out the archive of output files. @default {false} */
  skipsFiles?: boolean | undefined;
}

/** Page of events. */
export interface EventPage extends EventFilter {
  /** Maximum number of events. */
  limit: number;
}

/** Page of output events. */
export interface OutputPage {
  /** Only events that end after this byte of the stream. */
  offset: number;
  /** Only events after this id; otherwise each page would scan all earlier rows. */
  after: number;
  /** Maximum number of events. */
  limit: number;
}

type Row = Record<string, unknown>;

/** Which bytes of a stream to read. */
export interface OutputOptions {
  /** Bytes to skip. @default {0} */
  offset?: number | undefined;
  /** Called at the end of what is stored; resolves to whether to look for more. @default {no more} */
  wait?: (() => Promise<boolean>) | undefined;
  /** Whether a part is overwritten when the next is requested. @default {false} */
  reusesParts?: boolean | undefined;
}

/** Job whose events are read. */
export type StoredJobRef = Pick<JobRecord, "seq" | "id">;

function isOutput(type: unknown): type is OutputStream {
  return type === "stdout" || type === "stderr" || type === "files";
}

/** Stored fields of an event without output: the outcome is flat, the job's id is in the jobs table. */
function bodyOf(event: Exclude<NewEvent, { offset: number }>): string {
  switch (event.type) {
    case "queued":
      return JSON.stringify({ position: event.position });
    case "finished": {
      const { status, exitCode, message = null } = event.outcome;
      return JSON.stringify({ status, exitCode, message });
    }
    default: {
      const { at: _at, type: _type, ...body } = event;
      return JSON.stringify(body);
    }
  }
}

function stored(row: Row, jobId: string): StoredEvent {
  const { id, at, type } = row as { id: number; at: number; type: string };
  if (!isOutput(type)) {
    const body = JSON.parse(row["body"] as string);
    if (type === "queued") return { id, at, type, jobId, ...body };
    if (type !== "finished") return { id, at, type, ...body };
    const { status, exitCode, message } = body;
    return {
      id,
      at,
      type,
      outcome: { status, exitCode, ...(message === null ? {} : { message }) },
    };
  }
  const data = row["data"] as Uint8Array | null;
  return {
    id,
    at,
    type,
    offset: row["offset"] as number,
    length: row["length"] as number,
    ...(data === null ? {} : { data }),
  };
}

/** Event table. Writes must run inside a group commit. */
export class EventTable {
  readonly #insert: StatementSync;
  readonly #nextId: StatementSync;
  readonly #grow: Record<OutputStream, StatementSync>;
  readonly #after: StatementSync;
  readonly #afterWithoutFiles: StatementSync;
  readonly #output: StatementSync;
  readonly #deleteOutput: StatementSync;

  constructor(db: DatabaseSync) {
    this.#nextId = db.prepare(
      "UPDATE jobs SET last_event = last_event + 1 WHERE seq = ? RETURNING last_event",
    );
    this.#insert = db.prepare(
      `INSERT INTO events (job, id, at, type, body, offset, length, data)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
    );
    this.#grow = {
      stdout: db.prepare("UPDATE jobs SET stdout_bytes = ? WHERE seq = ?"),
      stderr: db.prepare("UPDATE jobs SET stderr_bytes = ? WHERE seq = ?"),
      files: db.prepare("UPDATE jobs SET files_bytes = ? WHERE seq = ?"),
    };
    this.#after = db.prepare("SELECT * FROM events WHERE job = ? AND id > ? ORDER BY id LIMIT ?");
    this.#afterWithoutFiles = db.prepare(
      "SELECT * FROM events WHERE job = ? AND id > ? AND type != 'files' ORDER BY id LIMIT ?",
    );
    this.#output = db.prepare(
      `SELECT * FROM events WHERE job = ? AND id > ? AND type = ? AND offset + length > ?
       ORDER BY id LIMIT ?`,
    );
    this.#deleteOutput = db.prepare(
      "DELETE FROM events WHERE job = ? AND type IN ('stdout', 'stderr', 'files')",
    );
  }

  /** Appends an event and returns its id. */
  append(seq: number, event: NewEvent): number {
    const next = this.#nextId.get(seq);
    if (next === undefined) {
      throw new PlasmError("state", `Cannot save ${event.type} event: job is not stored`);
    }
    const id = Number(next["last_event"]);
    const end = this.insert(seq, id, event);
    if ("offset" in event) this.#grow[event.type].run(end, seq);
    return id;
  }

  /** Inserts an event with an assigned id; returns the end offset of its output. */
  insert(seq: number, id: number, event: NewEvent): number {
    const { at, type } = event;
    if (!("offset" in event)) {
      this.#insert.run(seq, id, at, type, bodyOf(event), null, null, null);
      return 0;
    }
    const data = "data" in event ? event.data : null;
    const length = "length" in event ? event.length : event.data.length;
    this.#insert.run(seq, id, at, type, null, event.offset, length, data);
    return event.offset + length;
  }

  /** Lists events after an id, oldest first. */
  after(job: StoredJobRef, id: number, { limit, skipsFiles = false }: EventPage): StoredEvent[] {
    const statement = skipsFiles ? this.#afterWithoutFiles : this.#after;
    return statement.all(job.seq, id, limit).map((row) => stored(row as Row, job.id));
  }

  /** Lists output events of a stream that end after an offset, oldest first. */
  output(job: StoredJobRef, stream: OutputStream, page: OutputPage): StoredEvent[] {
    const { offset, after, limit } = page;
    return this.#output.all(job.seq, after, stream, offset, limit)
      .map((row) => stored(row as Row, job.id));
  }

  /** Deletes the output of an interrupted attempt. */
  deleteOutput(seq: number): void {
    this.#deleteOutput.run(seq);
  }
}

/** Rows per read: rows of standard output and error hold up to 64 KiB. */
const PAGE_ROWS = 16;

/** Output per read, in bytes; one row may be as large. */
const PAGE_BYTES = 1024 * 1024;

/** Options of {@linkcode JobHistory}. */
export interface JobHistoryOptions {
  events: EventTable;
  files: SpillFiles;
  /** Jobs that are not in the database yet. */
  writeBehind: WriteBehind;
}

/** Stored output event. */
type StoredOutput = Extract<StoredEvent, { length: number }>;

/** Events read together: one, or contiguous output events of a spill file. */
type Run = [StoredEvent, ...StoredOutput[]];

/** Splits a page into runs; leaves out events beyond {@linkcode PAGE_BYTES}. */
function runsOf(events: readonly StoredEvent[]): Run[] {
  const runs: Run[] = [];
  let bytes = 0;
  for (const event of events) {
    if ("length" in event) {
      if (bytes > 0 && bytes + event.length > PAGE_BYTES) break;
      bytes += event.length;
    }
    const run = runs.at(-1);
    const last = run?.at(-1);
    const follows = last !== undefined && "length" in last && "length" in event &&
      last.data === undefined && event.data === undefined &&
      last.type === event.type && last.offset + last.length === event.offset;
    if (follows) run!.push(event);
    else runs.push([event]);
  }
  return runs;
}

function isAfter(
  { id, type }: { id: number; type: string },
  after: number,
  { skipsFiles = false }: EventFilter,
): boolean {
  return id > after && !(skipsFiles && type === "files");
}

/** Reads jobs' events. */
export class JobHistory {
  readonly #options: JobHistoryOptions;

  constructor(options: JobHistoryOptions) {
    this.#options = options;
  }

  /** Reads the output of a run as one array. */
  async #bytesOf({ id }: JobRecord, run: readonly StoredOutput[]): Promise<Uint8Array> {
    const { type, offset, data } = run[0]!;
    if (data !== undefined) return data;
    const length = run.reduce((sum, event) => sum + event.length, 0);
    return await this.#options.files.read(id, type, { offset, length });
  }

  /** Reads the next page of events after an id; empty when there are none yet. */
  async after(job: JobRecord, id: number, filter: EventFilter = {}): Promise<RecordedEvent[]> {
    const entry = this.#options.writeBehind.get(job.id);
    if (entry !== undefined) return entry.events.filter((event) => isAfter(event, id, filter));
    const rows = this.#options.events.after(job, id, { ...filter, limit: PAGE_ROWS });
    const events: RecordedEvent[] = [];
    for (const [first, ...others] of runsOf(rows)) {
      if (!("length" in first)) {
        events.push(first);
        continue;
      }
      const run = [first, ...others];
      const bytes = await this.#bytesOf(job, run);
      for (const { id, at, type, offset, length } of run) {
        const from = offset - first.offset;
        events.push({ id, at, type, offset, data: bytes.subarray(from, from + length) });
      }
    }
    return events;
  }

  /** Whether events after an id exist. */
  hasAfter(job: JobRecord, id: number, filter: EventFilter = {}): boolean {
    const entry = this.#options.writeBehind.get(job.id);
    if (entry !== undefined) return entry.events.some((event) => isAfter(event, id, filter));
    return this.#options.events.after(job, id, { ...filter, limit: 1 }).length > 0;
  }

  /** Yields the stored bytes of a stream; at their end, continues while `wait` resolves to true. */
  async *output(
    job: JobRecord,
    stream: OutputStream,
    options: OutputOptions = {},
  ): AsyncGenerator<Uint8Array, void, void> {
    const { offset = 0, wait = () => Promise.resolve(false), reusesParts = false } = options;
    let next = offset;
    let after = 0;
    using file = this.#options.files.reader(job.id, stream, { reusesMemory: reusesParts });
    while (true) {
      const entry = this.#options.writeBehind.get(job.id);
      if (entry !== undefined) {
        for (const bytes of bufferedOutput(entry, stream, next)) {
          yield bytes;
          next += bytes.length;
        }
        if (await wait()) continue;
        return;
      }
      const page = { offset: next, after, limit: PAGE_ROWS };
      const rows = this.#options.events.output(job, stream, page);
      if (rows.length === 0) {
        if (await wait()) continue;
        return;
      }
      for (const [first, ...others] of runsOf(rows)) {
        if (!("length" in first)) continue;
        const length = others.reduce((sum, event) => sum + event.length, first.length);
        const bytes = first.data ?? await file.read({ offset: first.offset, length });
        yield bytes.subarray(next - first.offset);
        next = first.offset + bytes.length;
        after = others.at(-1)?.id ?? first.id;
      }
    }
  }
}

const STREAMS: readonly OutputStream[] = ["stdout", "stderr", "files"];

/** Bytes of a spill file after which it is written to the disk in the background. */
const SYNC_BYTES = 64 * 1024 * 1024;

/** A spill file of a job that has not ended. */
interface OpenSpillFile {
  file: Deno.FsFile;
  /** Offset of the next write, in bytes; negative if unknown. */
  position: number;
  /** Bytes written since the last sync began. */
  unsynced: number;
  /** Sync in the background; never rejects. */
  syncing: Promise<void> | undefined;
  /** Error of a sync in the background. */
  fault: unknown;
}

/** Bytes of a spill file. */
interface ByteRange {
  offset: number;
  length: number;
}

/** Reads one spill file. */
class SpillReader implements Disposable {
  readonly #path: string;
  readonly #what: string;
  readonly #reusesMemory: boolean;
  #file: Deno.FsFile | undefined;
  #position = 0;
  /** Memory of the last read, if it is reused. */
  #memory = new Uint8Array();

  constructor(path: string, { what, reusesMemory }: { what: string; reusesMemory: boolean }) {
    this.#path = path;
    this.#what = what;
    this.#reusesMemory = reusesMemory;
  }

  /**
   * Reads bytes.
   *
   * @throws {PlasmError} `state`, also if the file is shorter
   */
  async read({ offset, length }: ByteRange): Promise<Uint8Array> {
    try {
      const file = this.#file ??= Deno.openSync(this.#path, { read: true });
      if (offset !== this.#position) await file.seek(offset, Deno.SeekMode.Start);
      const data = this.#take(length);
      let filled = 0;
      while (filled < length) {
        const n = await file.read(data.subarray(filled));
        if (n === null) throw new Error(`${this.#what} ends at ${offset + filled}`);
        filled += n;
      }
      this.#position = offset + length;
      return data;
    } catch (error) {
      this.#position = -1;
      throw stateError("read output", error);
    }
  }

  /** Fresh memory costs a page fault for every 4 KiB, as much as reading them. */
  #take(length: number): Uint8Array {
    if (!this.#reusesMemory) return new Uint8Array(length);
    if (this.#memory.length < length) this.#memory = new Uint8Array(length);
    return this.#memory.subarray(0, length);
  }

  [Symbol.dispose](): void {
    this.#file?.close();
    this.#file = undefined;
  }
}

/** Directory of spill files. */
export class SpillFiles {
  readonly #dir: string;
  readonly #files = new Map<string, OpenSpillFile>();

  /** @throws {PlasmError} `state` when the directory cannot be created */
  constructor(dir: string) {
    this.#dir = dir;
    try {
      Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw stateError(`create directory ${dir}`, error);
    }
  }

  #path(id: string, stream: OutputStream): string {
    return `${this.#dir}/${id}.${stream}`;
  }

  /**
   * Writes bytes at an offset; creates the file if it is missing. File offsets equal stream offsets: the part stored in
   * the database is a hole. The file stays open until {@linkcode sync} or {@linkcode remove}.
   *
   * @throws {PlasmError} `state`
   */
  async write(id: string, stream: OutputStream, offset: number, data: Uint8Array): Promise<void> {
    try {
      const spill = this.#open(id, stream);
      if (spill.position !== offset) await spill.file.seek(offset, Deno.SeekMode.Start);
      spill.position = -1;
      await writeAll(spill.file, data);
      spill.position = offset + data.length;
      spill.unsynced += data.length;
      if (spill.unsynced < SYNC_BYTES || spill.syncing !== undefined) return;
      spill.unsynced = 0;
      // The end of a large job would otherwise wait for the disk.
      spill.syncing = spill.file.syncData().catch((error) => {
        spill.fault = error;
      }).finally(() => {
        spill.syncing = undefined;
      });
    } catch (error) {
      throw stateError("save output", error);
    }
  }

  #open(id: string, stream: OutputStream): OpenSpillFile {
    const path = this.#path(id, stream);
    let spill = this.#files.get(path);
    if (spill === undefined) {
      const file = Deno.openSync(path, { write: true, create: true, mode: 0o600 });
      spill = { file, position: 0, unsynced: 0, syncing: undefined, fault: undefined };
      this.#files.set(path, spill);
    }
    return spill;
  }

  /**
   * Makes a job's files durable, and closes them.
   *
   * @throws {PlasmError} `state`
   */
  async sync(id: string): Promise<void> {
    for (const stream of STREAMS) {
      const path = this.#path(id, stream);
      const spill = this.#files.get(path);
      try {
        await spill?.syncing;
        if (spill?.fault !== undefined) throw spill.fault;
        await syncFile(path, { write: true });
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw stateError("save output", error);
      } finally {
        this.#close(path);
      }
    }
  }

  #close(path: string): void {
    const spill = this.#files.get(path);
    if (spill === undefined) return;
    this.#files.delete(path);
    // A file that is being written to the disk cannot be closed.
    if (spill.syncing === undefined) spill.file.close();
    else spill.syncing.then(() => spill.file.close());
  }

  /**
   * Reads `length` bytes at an offset.
   *
   * @throws {PlasmError} `state`, also if the file is shorter than its rows require
   */
  async read(id: string, stream: OutputStream, range: ByteRange): Promise<Uint8Array> {
    const reader = this.reader(id, stream);
    try {
      return await reader.read(range);
    } finally {
      reader[Symbol.dispose]();
    }
  }

  /** A reader of one file, which is opened by the first read. */
  reader(
    id: string,
    stream: OutputStream,
    { reusesMemory = false }: { reusesMemory?: boolean } = {},
  ): SpillReader {
    return new SpillReader(this.#path(id, stream), { what: `${stream} of ${id}`, reusesMemory });
  }

  /** Closes all files. */
  close(): void {
    for (const path of [...this.#files.keys()]) this.#close(path);
  }

  /** Deletes a job's files. */
  remove(id: string): void {
    for (const stream of STREAMS) {
      this.#close(this.#path(id, stream));
      try {
        Deno.removeSync(this.#path(id, stream));
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw stateError("delete output", error);
      }
    }
  }

  /** Deletes files of unknown jobs; returns their number. */
  removeStrays(known: (id: string) => boolean): number {
    let removed = 0;
    for (const { name } of Deno.readDirSync(this.#dir)) {
      if (known(name.split(".")[0] ?? "")) continue;
      Deno.removeSync(`${this.#dir}/${name}`);
      removed++;
    }
    return removed;
  }
}
