/**
 * Rows of events. Output is kept here once, as the data of its events; above a size it goes on in a
 * file beside the database (see spill_files.ts) and the rows say where.
 * @module
 */
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobEvent, OutputStream } from "./job_record.ts";

type WithoutId<E> = E extends unknown ? Omit<E, "id"> : never;

/** An event before it has its id; `length` in place of `data` when the bytes are in a file. */
export type NewEvent =
  | WithoutId<JobEvent>
  | { type: OutputStream; at: number; offset: number; length: number };

/** An event whose output may still be in a file. */
export type StoredEvent =
  | Exclude<JobEvent, { type: OutputStream }>
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
