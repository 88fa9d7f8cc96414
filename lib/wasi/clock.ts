/**
 * The four clocks of preview1, coarsened.
 * @module
 */

/** Clocks (`$clockid`). */
export const CLOCK = { REALTIME: 0, MONOTONIC: 1, PROCESS_CPUTIME: 2, THREAD_CPUTIME: 3 } as const;

/**
 * Resolution of every clock a guest can read, in nanoseconds. 100 µs is what browsers give pages
 * that are not isolated: too coarse to tell a cache hit from a miss, fine enough for programs.
 */
export const CLOCK_RESOLUTION_NS = 100_000;

/** Ticks of {@linkcode CLOCK_RESOLUTION_NS} in a millisecond. */
export const TICKS_PER_MS: number = 1_000_000 / CLOCK_RESOLUTION_NS;

const NS_PER_TICK = BigInt(CLOCK_RESOLUTION_NS);

// The monotonic clock starts with the job, so that it does not tell how long the worker has lived,
// but not at 0, which Go's runtime takes for a broken clock.
const MONOTONIC_START_MS = 1_000;

/** Where time comes from. */
export interface TimeSource {
  /** Unix time, in milliseconds. */
  realtimeMs(): number;
  /** Milliseconds from any fixed point; never goes back. */
  monotonicMs(): number;
}

/** The clocks of one job. */
export class Clocks {
  #source: TimeSource;
  #start: number;
  #blockedMs = 0;
  #lastMonotonicNs = 0;
  /** Ticks of Unix time at the beginning. */
  #firstTick: number;

  constructor(source: TimeSource = systemTime()) {
    this.#source = source;
    this.#start = source.monotonicMs();
    this.#firstTick = this.#tick();
  }

  /** Precise time of a clock in milliseconds, for the shim's own use; undefined if there is none. */
  preciseMs(id: number): number | undefined {
    switch (id) {
      case CLOCK.REALTIME:
        return this.#source.realtimeMs();
      case CLOCK.MONOTONIC:
        return this.#elapsedMs() + MONOTONIC_START_MS;
      // A worker without permissions cannot ask for its CPU time. The time it has lived less the
      // time it was blocked is an upper bound that stands still while the job sleeps.
      case CLOCK.PROCESS_CPUTIME:
      case CLOCK.THREAD_CPUTIME:
        return this.#elapsedMs() - this.#blockedMs;
    }
    return undefined;
  }

  /** Time of a clock in nanoseconds, rounded down to a tick; undefined if there is no such clock. */
  read(id: number): bigint | undefined {
    const ms = this.preciseMs(id);
    if (ms === undefined) return undefined;
    const ticks = Math.max(0, Math.floor(ms * TICKS_PER_MS));
    if (id !== CLOCK.MONOTONIC) return BigInt(ticks) * NS_PER_TICK;
    // Guests take two readings to differ, and divide by the span. So a reading within the tick of the
    // last one is one nanosecond later: a counter, which tells nothing of time. (Exact as a double
    // for 104 days.)
    this.#lastMonotonicNs = Math.max(ticks * CLOCK_RESOLUTION_NS, this.#lastMonotonicNs + 1);
    return BigInt(this.#lastMonotonicNs);
  }

  /** Now, as files note it. */
  now(): number {
    return this.#tick() - this.#firstTick;
  }

  /** Ticks of Unix time of what {@linkcode Clocks.now} gave. */
  unixTicks(now: number): number {
    return this.#firstTick + now;
  }

  /** Runs what blocks; the CPU clocks stand still meanwhile. */
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

/** Unix time finer than Date.now(), on the same steady clock that measures spans. */
function systemTime(): TimeSource {
  const offset = Date.now() - performance.now();
  return {
    realtimeMs: () => performance.now() + offset,
    monotonicMs: () => performance.now(),
  };
}
