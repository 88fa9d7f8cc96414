/**
 * Implements the four WASI clocks of the default profile on the system's time, with reduced resolution.
 *
 * @module
 */
import type { Timestamp } from "./fs/inode.ts";

/** Clock ids (`$clockid`). */
export const CLOCK = { REALTIME: 0, MONOTONIC: 1, PROCESS_CPUTIME: 2, THREAD_CPUTIME: 3 } as const;

/** Whether there is a clock of an id. */
export function isClock(id: number): boolean {
  return id >= CLOCK.REALTIME && id <= CLOCK.THREAD_CPUTIME;
}

/**
 * Resolution of every clock that a guest can read, in nanoseconds. 100 µs, as in browsers without cross-origin
 * isolation, is too coarse to distinguish a cache hit from a miss.
 */
export const CLOCK_RESOLUTION_NS = 100_000;

/** Number of ticks of {@linkcode CLOCK_RESOLUTION_NS} per millisecond. */
const TICKS_PER_MS: number = 1_000_000 / CLOCK_RESOLUTION_NS;

const NS_PER_MS = 1e6;

const NS_PER_TICK = BigInt(CLOCK_RESOLUTION_NS);

/**
 * Start of the monotonic clock, in milliseconds. It starts with the job, so that it does not reveal the age of the
 * worker, but not at 0, which Go's runtime treats as a broken clock.
 */
export const MONOTONIC_START_MS = 1_000;

/**
 * Shortest wait. A double holds Unix milliseconds to a quarter of a microsecond; a shorter wait might not advance the
 * clock, and the loop around it would spin.
 */
const SHORTEST_WAIT_MS = 0.001;

/** Wake-up time on one of the clocks, in a unit that only its {@linkcode Clocks} know. */
export interface Deadline {
  /** Clock id. */
  readonly clock: number;
  /** Time on that clock. */
  readonly time: number | bigint;
}

/** A timeout of `poll_oneoff`. */
export interface Timeout {
  /** Clock id; one that waits can use. */
  clock: number;
  /** Duration, or time on the clock, in nanoseconds. */
  timeoutNs: bigint;
  /** Whether `timeoutNs` is a time on the clock. */
  isAbsolute: boolean;
}

/** Blocks up to `ms` milliseconds (Infinity is allowed). */
export type Wait = (ms: number) => void;

/** The clocks of one job. */
export interface Clocks {
  /** Reads a clock for the guest, in nanoseconds; undefined if there is no such clock. */
  read(id: number): bigint | undefined;
  /** Current time for file timestamps. */
  now(): Timestamp;
  /** Converts a timestamp to what a guest reads: Unix time, in ticks as a number or in nanoseconds as a BigInt. */
  unixTime(time: Timestamp): number | bigint;
  /** Computes the deadline of a timeout. */
  deadline(timeout: Timeout): Deadline;
  /** Whether a deadline has passed. */
  isReached(deadline: Deadline): boolean;
  /** Waits for the earliest of some deadlines, and no longer than `wait` blocks. */
  waitFor(deadlines: readonly Deadline[], wait: Wait): void;
  /** Runs a blocking function; the CPU clocks do not advance meanwhile. */
  blocked<T>(wait: () => T): T;
}

/** Source of time for {@linkcode SystemClocks}. */
export interface TimeSource {
  /** Unix time, in milliseconds. */
  realtimeMs(): number;
  /** Milliseconds since an arbitrary fixed point; never decreases. */
  monotonicMs(): number;
}

/** The clocks of the default profile. */
export class SystemClocks implements Clocks {
  #source: TimeSource;
  #start: number;
  #blockedMs = 0;
  #lastMonotonicNs = 0;
  /** Unix time at the start of the job, in ticks. */
  #firstTick: number;

  constructor(source: TimeSource = systemTime()) {
    this.#source = source;
    this.#start = source.monotonicMs();
    this.#firstTick = this.#tick();
  }

  /**
   * Reads a clock at full resolution, in milliseconds. Never exposed to the guest.
   *
   * @returns `undefined` if there is no such clock.
   */
  preciseMs(id: number): number | undefined {
    switch (id) {
      case CLOCK.REALTIME:
        return this.#source.realtimeMs();
      case CLOCK.MONOTONIC:
        return this.#elapsedMs() + MONOTONIC_START_MS;
      // A worker without permissions cannot read its CPU time. Elapsed time minus blocked time is an upper
      // bound that does not advance while the job sleeps.
      case CLOCK.PROCESS_CPUTIME:
      case CLOCK.THREAD_CPUTIME:
        return this.#elapsedMs() - this.#blockedMs;
    }
    return undefined;
  }

  /** Reads a clock, rounded down to a tick. */
  read(id: number): bigint | undefined {
    const ms = this.preciseMs(id);
    if (ms === undefined) return undefined;
    const ticks = Math.max(0, Math.floor(ms * TICKS_PER_MS));
    if (id !== CLOCK.MONOTONIC) return BigInt(ticks) * NS_PER_TICK;
    // Guests expect two readings to differ and divide by the difference. A reading in the same tick as the last
    // one is therefore one nanosecond later: a counter, which reveals nothing about time. A double is exact for
    // 104 days.
    this.#lastMonotonicNs = Math.max(ticks * CLOCK_RESOLUTION_NS, this.#lastMonotonicNs + 1);
    return BigInt(this.#lastMonotonicNs);
  }

  /** Ticks since the start of the job. */
  now(): number {
    return this.#tick() - this.#firstTick;
  }

  unixTime(time: Timestamp): number | bigint {
    return typeof time === "number" ? this.#firstTick + time : time;
  }

  deadline({ clock, timeoutNs, isAbsolute }: Timeout): Deadline {
    const ms = Number(timeoutNs) / NS_PER_MS;
    // Rounded up to a tick, so that the guest's clock shows the deadline as reached.
    const time = isAbsolute
      ? Math.ceil(ms * TICKS_PER_MS) / TICKS_PER_MS
      : this.preciseMs(clock)! + ms;
    return { clock, time };
  }

  isReached({ clock, time }: Deadline): boolean {
    return this.preciseMs(clock)! >= time;
  }

  waitFor(deadlines: readonly Deadline[], wait: Wait): void {
    let least = Infinity;
    for (const { clock, time } of deadlines) {
      least = Math.min(least, Number(time) - this.preciseMs(clock)!);
    }
    this.blocked(() => wait(Math.max(SHORTEST_WAIT_MS, least)));
  }

  blocked<T>(wait: () => T): T {
    const from = this.#source.monotonicMs();
    try {
      return wait();
    } finally {
      this.#blockedMs += this.#source.monotonicMs() - from;
    }
  }

  #tick(): number {
    return Math.floor(this.#source.realtimeMs() * TICKS_PER_MS);
  }

  #elapsedMs(): number {
    return this.#source.monotonicMs() - this.#start;
  }
}

/** Time from `performance.now()`: finer than `Date.now()`, and monotonic. */
function systemTime(): TimeSource {
  const offset = Date.now() - performance.now();
  return {
    realtimeMs: () => performance.now() + offset,
    monotonicMs: () => performance.now(),
  };
}
