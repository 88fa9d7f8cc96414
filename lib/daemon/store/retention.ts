/**
 * Lets go of ended jobs: by age, and by the bytes they take.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import type { EndedJob } from "./job_table.ts";
import type { JobStore } from "./store.ts";
import type { Logger } from "@logtape/logtape";

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

/** How often ended jobs are looked through, in milliseconds. */
const RETENTION_MS = 60_000;

/** How often it is seen whether that is too seldom, in milliseconds. */
const GROWTH_MS = 1000;

/** Share of retention.bytes that new output may add before ended jobs are looked through. */
const GROWTH_SHARE = 1 / 16;

/** Clocks of {@linkcode retentionClock}. */
export interface RetentionClockOptions {
  /** Unix milliseconds. @default {Date.now} */
  wall?: () => number;
  /** Milliseconds of a clock that does not jump. @default {performance.now} */
  steady?: () => number;
}

/**
 * The time by which jobs are too old, in Unix milliseconds: never more than has passed since this was
 * called, so that a clock that jumps forward, as one without a battery or set wrongly, deletes nothing.
 */
export function retentionClock(options: RetentionClockOptions = {}): () => number {
  const { wall = () => Date.now(), steady = () => performance.now() } = options;
  const start = wall() - steady();
  return () => Math.min(wall(), start + steady());
}

/** Starts to look; what is returned stops it and waits until it has. */
export function startRetention(
  store: JobStore,
  config: () => Config,
  log: Logger,
): () => Promise<void> {
  const now = retentionClock();
  let sweptAt = -Infinity;
  let sweptBytes = 0;
  let sweeping: Promise<void> | undefined;
  const sweep = async (): Promise<void> => {
    try {
      const deleted = await applyRetention(store, config().retention, now());
      if (deleted > 0) log.info("jobs-deleted", { deleted });
    } catch (error) {
      log.error("retention-failed", { error });
    }
  };
  const look = (): void => {
    const grown = store.savedBytes - sweptBytes > config().retention.bytes * GROWTH_SHARE;
    if (sweeping !== undefined || (!grown && performance.now() - sweptAt < RETENTION_MS)) return;
    sweptAt = performance.now();
    sweptBytes = store.savedBytes;
    sweeping = sweep().finally(() => sweeping = undefined);
  };
  look();
  const timer = setInterval(look, GROWTH_MS);
  return async () => {
    clearInterval(timer);
    await sweeping;
  };
}
