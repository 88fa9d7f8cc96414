/**
 * What happened to a job and what it wrote, from wherever that is: memory, the database, a file.
 * @module
 */
import type { JobEvent, JobRecord, OutputStream } from "./job_record.ts";
import type { EventTable, StoredEvent } from "./event_table.ts";
import { type LateJobs, outputOf } from "./write_behind.ts";
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
  async after(job: JobRecord, id: number): Promise<JobEvent[]> {
    const late = this.#options.late.get(job.id);
    if (late !== undefined) return late.events.filter((event) => event.id > id);
    const rows = this.#options.events.after(job.seq, id, PAGE_ROWS);
    const events: JobEvent[] = [];
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
