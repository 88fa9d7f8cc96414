/**
 * Rows of events. Output is kept here once, as the data of its events; above a size it goes on in a
 * file beside the database (see spill_files.ts) and the rows say where.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobRecord, NewEvent, OutputStream, RecordedEvent } from "./job_record.ts";
import type { SpillFiles } from "./spill_files.ts";
import { type LateJobs, outputOf } from "./write_behind.ts";
import type { DatabaseSync, StatementSync } from "node:sqlite";

/** An event whose output may still be in a file. */
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

/** Which output events to read. */
export interface OutputPage {
  /** Those that reach beyond this byte of the stream. */
  offset: number;
  /** Those after this event: without it each page would look through all before it again. */
  after: number;
  /** At most so many. */
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

/** The table of events. Writes must run inside the store's write queue. */
export class EventTable {
  readonly #insert: StatementSync;
  readonly #nextId: StatementSync;
  readonly #grow: Record<OutputStream, StatementSync>;
  readonly #after: StatementSync;
  readonly #output: StatementSync;
  readonly #forget: StatementSync;

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
    this.#forget = db.prepare(
      "DELETE FROM events WHERE job = ? AND type IN ('stdout', 'stderr')",
    );
  }

  /** Adds an event and returns its id. */
  append(seq: number, event: NewEvent): number {
    const next = this.#nextId.get(seq);
    if (next === undefined) {
      throw new PlasmError("state", `Cannot save ${event.type}: the job is not stored`);
    }
    const id = Number(next["last_event"]);
    const end = this.insert(seq, id, event);
    if ("offset" in event) this.#grow[event.type].run(end, seq);
    return id;
  }

  /** Adds an event whose id the job's row tells of already; returns where the output in it ends. */
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

  /** The events after an id, the oldest first. */
  after(seq: number, id: number, limit: number): StoredEvent[] {
    return this.#after.all(seq, id, limit).map((row) => stored(row as Row));
  }

  /** The output events of a stream that reach beyond an offset, the oldest first. */
  output(seq: number, stream: OutputStream, page: OutputPage): StoredEvent[] {
    const { offset, after, limit } = page;
    return this.#output.all(seq, after, stream, offset, limit).map((row) => stored(row as Row));
  }

  /** Deletes the output of an attempt that is run again. */
  forgetOutput(seq: number): void {
    this.#forget.run(seq);
  }
}

// Rows read at once: output rows hold up to 64 KiB, so that a page stays below 1 MiB.
const PAGE_ROWS = 16;

/** Options of {@linkcode JobHistory}. */
export interface JobHistoryOptions {
  events: EventTable;
  files: SpillFiles;
  /** Jobs that are not in the database yet. */
  late: LateJobs;
}

/** An output event as it is stored. */
type StoredOutput = Extract<StoredEvent, { length: number }>;

/** Events that are read at once: one, or output events that follow each other in a file. */
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

  /** What the output events of a run say, in one piece. */
  async #bytesOf({ id }: JobRecord, run: readonly StoredOutput[]): Promise<Uint8Array> {
    const { type, offset, data } = run[0]!;
    if (data !== undefined) return data;
    const length = run.reduce((sum, event) => sum + event.length, 0);
    return await this.#options.files.read(id, type, { offset, length });
  }

  /** The next few events after an id; none when there are no more yet. */
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

  /** Whether there are events after an id, now. */
  hasAfter(job: JobRecord, id: number): boolean {
    const late = this.#options.late.get(job.id);
    if (late !== undefined) return late.events.some((event) => event.id > id);
    return this.#options.events.after(job.seq, id, 1).length > 0;
  }

  /** The bytes of a stream from an offset on, as far as they are there. */
  async *output(
    job: JobRecord,
    stream: OutputStream,
    offset: number,
  ): AsyncGenerator<Uint8Array, void, void> {
    const late = this.#options.late.get(job.id);
    if (late !== undefined) return yield* outputOf(late, stream, offset);
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
