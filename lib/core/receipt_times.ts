/**
 * The times of a receipt, and which of them can be.
 * @module
 */
import type { Receipt } from "./types.gen.ts";

/**
 * How far `wall_time_ms` may be from the difference of the two times, in milliseconds. They come from
 * two clocks, and the wall clock may be set while a job runs.
 */
export const WALL_TIME_TOLERANCE_MS = 1000;

/** What {@linkcode receiptTimes} takes: Unix time and duration in milliseconds. */
export interface ReceiptTimesOptions {
  /** Unix time in milliseconds. */
  startedAt: number;
  /** Duration by a clock that is never set, in milliseconds. */
  wallTimeMs: number;
}

/** The time fields of a receipt; the end is counted from the start, so that they agree. */
export interface ReceiptTimes {
  /** RFC 3339. */
  started_at: string;
  /** RFC 3339. */
  finished_at: string;
  /** Whole milliseconds. */
  wall_time_ms: number;
}

/** Makes the time fields of a receipt from what was measured. */
export function receiptTimes(options: ReceiptTimesOptions): ReceiptTimes {
  const startedAt = Math.round(options.startedAt);
  const wallTimeMs = Math.max(0, Math.round(options.wallTimeMs));
  return {
    started_at: new Date(startedAt).toISOString(),
    finished_at: new Date(startedAt + wallTimeMs).toISOString(),
    wall_time_ms: wallTimeMs,
  };
}

/** A field and what is wrong with it, as text that begins with the field. */
export interface TimeProblem {
  /** The field's path. */
  field: string;
  /** What is wrong. */
  text: string;
}

/** Finds times that cannot be: days that do not exist, an end before the start, a wrong duration. */
export function findTimeProblem(receipt: Receipt): TimeProblem | undefined {
  for (const field of ["started_at", "finished_at"] as const) {
    const time = Date.parse(receipt[field]);
    // V8 reads 30 February as 2 March.
    if (Number.isNaN(time) || new Date(time).toISOString() !== receipt[field]) {
      return { field, text: `${field} is no time: ${receipt[field]}` };
    }
  }
  const difference = Date.parse(receipt.finished_at) - Date.parse(receipt.started_at);
  if (difference < 0) {
    return {
      field: "finished_at",
      text: `finished_at is ${receipt.finished_at}, before started_at ${receipt.started_at}`,
    };
  }
  const wallTime = receipt.usage.wall_time_ms;
  if (Math.abs(wallTime - difference) > WALL_TIME_TOLERANCE_MS) {
    return {
      field: "usage.wall_time_ms",
      text:
        `usage.wall_time_ms is ${wallTime}, from started_at to finished_at are ${difference} ms`,
    };
  }
  return undefined;
}
