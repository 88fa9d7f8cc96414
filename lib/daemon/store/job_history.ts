/**
 * What happened to a job and what it wrote, from wherever that is: memory, the database, a file.
 * @module
 */
import type { JobEvent, JobRecord, OutputStream } from "../types.ts";
import type { EventTable, StoredEvent } from "./event_table.ts";
import { type LateJobs, outputOf } from "./late_jobs.ts";
import type { SpillFiles } from "./spill_files.ts";

// Rows read at once: output rows hold up to 64 KiB, so that a page stays below 1 MiB.
const PAGE_ROWS = 16;

/** Options of {@linkcode JobHistory}. */
export interface JobHistoryOptions {
  events: EventTable;
  files: SpillFiles;
  /** Jobs that are not in the database yet. */
  late: LateJobs;
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

/** Reads jobs' events. */
export class JobHistory {
  readonly #options: JobHistoryOptions;

  constructor(options: JobHistoryOptions) {
    this.#options = options;
  }

  async #load(job: JobRecord, event: StoredEvent): Promise<JobEvent> {
    if (!("length" in event)) return event;
    const { id, at, type, offset, length } = event;
    const data = event.data ?? await this.#options.files.read(job.id, type, { offset, length });
    return { id, at, type, offset, data };
  }

  /** The next few events after an id; none when there are no more yet. */
  async after(job: JobRecord, id: number): Promise<JobEvent[]> {
    const late = this.#options.late.get(job.id);
    if (late !== undefined) return late.events.filter((event) => event.id > id);
    const rows = this.#options.events.after(job.seq, id, PAGE_ROWS);
    const events: JobEvent[] = [];
    for (const row of rows) events.push(await this.#load(job, row));
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
      for (const row of joinSpilled(rows)) {
        const event = await this.#load(job, row);
        if (!("data" in event)) continue;
        yield event.data.subarray(next - event.offset);
        next = event.offset + event.data.length;
      }
      after = rows.at(-1)!.id;
    }
  }
}
