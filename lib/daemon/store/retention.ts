/**
 * Lets go of ended jobs: by age, and by the bytes they take.
 * @module
 */
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
  const remove = async (before: number, count: number): Promise<number> => {
    const jobs = store.endedBefore(before, count);
    if (jobs.length > 0) await store.delete(jobs);
    deleted += jobs.length;
    return jobs.length;
  };
  while (await remove(now - limits.age_seconds * 1000, BATCH) === BATCH);
  // One by one near the limit would ask for the sum too often; a tenth of the batch is near enough.
  while (
    store.endedBytes() > limits.bytes && await remove(Number.MAX_SAFE_INTEGER, BATCH / 10) > 0
  );
  return deleted;
}
