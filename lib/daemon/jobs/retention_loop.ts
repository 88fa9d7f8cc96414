/**
 * Looks through ended jobs from time to time, and sooner when much has been written.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import type { Config } from "../../config/mod.ts";
import { applyRetention, type JobStore } from "../store/mod.ts";

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
