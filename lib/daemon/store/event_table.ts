/**
 * Stores and reads job events. Output is stored in its event rows; above a size the rows refer to a spill file
 * (see spill_files.ts).
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobRecord, NewEvent, OutputStream, RecordedEvent } from "./job_record.ts";
import type { SpillFiles } from "./spill_files.ts";
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

function isOutput(type: unknown): type is OutputStream {
  return type === "stdout" || type === "stderr";
}

function stored(row: Row): StoredEvent {
  const { id, at, type } = row as { id: number; at: number; type: string };
  if (!isOutput(type)) return { id, at, type, ...JSON.parse(row["body"] as string) };
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
    };
    this.#after = db.prepare("SELECT * FROM events WHERE job = ? AND id > ? ORDER BY id LIMIT ?");
    this.#output = db.prepare(
      `SELECT * FROM events WHERE job = ? AND id > ? AND type = ? AND offset + length > ?
       ORDER BY id LIMIT ?`,
    );
    this.#deleteOutput = db.prepare(
      "DELETE FROM events WHERE job = ? AND type IN ('stdout', 'stderr')",
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
    const { at, type, ...body } = event;
    if (!("offset" in event)) {
      this.#insert.run(seq, id, at, type, JSON.stringify(body), null, null, null);
      return 0;
    }
    const data = "data" in event ? event.data : null;
    const length = "length" in event ? event.length : event.data.length;
    this.#insert.run(seq, id, at, type, null, event.offset, length, data);
    return event.offset + length;
  }

  /** Lists events after an id, oldest first. */
  after(seq: number, id: number, limit: number): StoredEvent[] {
    return this.#after.all(seq, id, limit).map((row) => stored(row as Row));
  }

  /** Lists output events of a stream that end after an offset, oldest first. */
  output(seq: number, stream: OutputStream, page: OutputPage): StoredEvent[] {
    const { offset, after, limit } = page;
    return this.#output.all(seq, after, stream, offset, limit).map((row) => stored(row as Row));
  }

  /** Deletes the output of an attempt that is re-run. */
  deleteOutput(seq: number): void {
    this.#deleteOutput.run(seq);
  }
}

/** Rows per read: output rows hold up to 64 KiB, so a page stays below 1 MiB. */
const PAGE_ROWS = 16;

/** Options of {@linkcode JobHistory}. */
export interface JobHistoryOptions {
  events: EventTable;
  files: SpillFiles;
  /** Jobs not yet in the database. */
  late: WriteBehind;
}

/** Stored output event. */
type StoredOutput = Extract<StoredEvent, { length: number }>;

/** Events read together: one, or contiguous output events of a spill file. */
type Run = [StoredEvent, ...StoredOutput[]];

function runsOf(events: readonly StoredEvent[]): Run[] {
  const runs: Run[] = [];
  for (const event of events) {
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
  async after(job: JobRecord, id: number): Promise<RecordedEvent[]> {
    const late = this.#options.late.get(job.id);
    if (late !== undefined) return late.events.filter((event) => event.id > id);
    const rows = this.#options.events.after(job.seq, id, PAGE_ROWS);
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
  hasAfter(job: JobRecord, id: number): boolean {
    const late = this.#options.late.get(job.id);
    if (late !== undefined) return late.events.some((event) => event.id > id);
    return this.#options.events.after(job.seq, id, 1).length > 0;
  }

  /** Yields the stored bytes of a stream from an offset. */
  async *output(
    job: JobRecord,
    stream: OutputStream,
    offset: number,
  ): AsyncGenerator<Uint8Array, void, void> {
    const late = this.#options.late.get(job.id);
    if (late !== undefined) return yield* bufferedOutput(late, stream, offset);
    let next = offset;
    let after = 0;
    while (true) {
      const page = { offset: next, after, limit: PAGE_ROWS };
      const rows = this.#options.events.output(job.seq, stream, page);
      if (rows.length === 0) return;
      for (const [first, ...others] of runsOf(rows)) {
        if (!("length" in first)) continue;
        const bytes = await this.#bytesOf(job, [first, ...others]);
        yield bytes.subarray(next - first.offset);
        next = first.offset + bytes.length;
      }
      after = rows.at(-1)!.id;
    }
  }
}
