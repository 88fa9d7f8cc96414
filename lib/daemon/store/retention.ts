/**
 * Lets go of ended jobs: by age, and by the bytes they take.
 * @module
 */
import type { EndedJob } from "./job_table.ts";
import type { JobStore } from "./store.ts";

// Deleted in one transaction; more would hold up other writes.
const BATCH = 100;

/** How long ended jobs are kept. */
export interface RetentionLimits {
  /** Jobs that ended longer ago are deleted, in seconds. */
  age_seconds: number;
  /** Bytes of ended jobs together; the oldest go first. */
  bytes: number;
}

/**
 * Deletes ended jobs that are too old or too many; returns how many.
 *
 * @throws {PlasmError} `state`
 */
export async function applyRetention(
  store: JobStore,
  limits: RetentionLimits,
  now: number = Date.now(),
): Promise<number> {
  let deleted = 0;
  const remove = async (jobs: readonly EndedJob[]): Promise<void> => {
    if (jobs.length > 0) await store.delete(jobs);
    deleted += jobs.length;
  };
  const oldest = now - limits.age_seconds * 1000;
  for (let full = true; full;) {
    const jobs = store.endedBefore(oldest, BATCH);
    full = jobs.length === BATCH;
    await remove(jobs);
  }
  for (let excess = store.endedBytes() - limits.bytes; excess > 0;) {
    const jobs: EndedJob[] = [];
    for (const job of store.endedBefore(Number.MAX_SAFE_INTEGER, BATCH)) {
      if (excess <= 0) break;
      excess -= job.bytes;
      jobs.push(job);
    }
    if (jobs.length === 0) break;
    await remove(jobs);
  }
  return deleted;
}
