/**
 * Deletes finished jobs by age and by total size.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import type { EndedJob } from "./job_table.ts";
import type { JobStore } from "./store.ts";
import type { Logger } from "@logtape/logtape";

/** Maximum number of jobs deleted in one transaction; more would delay other writes. */
const BATCH = 100;

/** Time for which the latest finished job is kept whatever its size, so that its client can read it, in milliseconds. */
const LATEST_MS = 60_000;

/** Limits on finished jobs. */
export interface RetentionLimits {
  /** Maximum age, in seconds. */
  age_seconds: number;
  /** Maximum total size, in bytes; the oldest jobs are deleted first. */
  bytes: number;
}

/**
 * Deletes finished jobs beyond the limits; returns their number. The latest one is not deleted for its size at once.
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
    const ended = store.endedBefore(Number.MAX_SAFE_INTEGER, BATCH);
    const latest = ended.length < BATCH ? ended.at(-1) : undefined;
    for (const job of ended) {
      if (excess <= 0 || (job === latest && now - job.finishedAt < LATEST_MS)) break;
      excess -= job.bytes;
      jobs.push(job);
    }
    if (jobs.length === 0) break;
    await remove(jobs);
  }
  return deleted;
}

/** Interval between sweeps, in milliseconds. */
const RETENTION_MS = 60_000;

/** Interval at which growth is checked for an early sweep, in milliseconds. */
const GROWTH_MS = 1000;

/** Share of retention.bytes that new output may add before an early sweep. */
const GROWTH_SHARE = 1 / 16;

/** Clocks of {@linkcode retentionClock}. */
export interface RetentionClockOptions {
  /** Unix milliseconds. @default {Date.now} */
  wall?: () => number;
  /** Monotonic milliseconds. @default {performance.now} */
  steady?: () => number;
}

/**
 * Clock for retention, in Unix milliseconds. It advances at most with the monotonic clock, so that a wall clock
 * that jumps forward deletes nothing.
 */
export function retentionClock(options: RetentionClockOptions = {}): () => number {
  const { wall = () => Date.now(), steady = () => performance.now() } = options;
  const start = wall() - steady();
  return () => Math.min(wall(), start + steady());
}

/** Maximum number of submitters whose usage is stored. */
const MAX_SUBMITTERS = 1000;

/** Starts periodic sweeps; the returned function stops them and waits for a running one. */
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
      await store.trimUsage(MAX_SUBMITTERS);
      const deleted = await applyRetention(store, config().retention, now());
      if (deleted > 0) log.info("jobs-deleted", { deleted });
    } catch (error) {
      log.error("retention-failed", { error });
    }
  };
  const sweepIfDue = (): void => {
    const grown = store.savedBytes - sweptBytes > config().retention.bytes * GROWTH_SHARE;
    if (sweeping !== undefined || (!grown && performance.now() - sweptAt < RETENTION_MS)) return;
    sweptAt = performance.now();
    sweptBytes = store.savedBytes;
    sweeping = sweep().finally(() => sweeping = undefined);
  };
  sweepIfDue();
  const timer = setInterval(sweepIfDue, GROWTH_MS);
  return async () => {
    clearInterval(timer);
    await sweeping;
  };
}
