/**
 * The four WASI clocks, with reduced resolution.
 *
 * @module
 */

/** Clock ids (`$clockid`). */
export const CLOCK = { REALTIME: 0, MONOTONIC: 1, PROCESS_CPUTIME: 2, THREAD_CPUTIME: 3 } as const;

/**
 * Resolution of every clock that a guest can read, in nanoseconds. 100 µs, as in browsers without cross-origin
 * isolation, is too coarse to distinguish a cache hit from a miss.
 */
export const CLOCK_RESOLUTION_NS = 100_000;

/** Number of ticks of {@linkcode CLOCK_RESOLUTION_NS} per millisecond. */
export const TICKS_PER_MS: number = 1_000_000 / CLOCK_RESOLUTION_NS;

const NS_PER_TICK = BigInt(CLOCK_RESOLUTION_NS);

/**
 * Start of the monotonic clock. It starts with the job, so that it does not reveal the age of the worker, but not at
 * 0, which Go's runtime treats as a broken clock.
 */
const MONOTONIC_START_MS = 1_000;

/** Source of time for {@linkcode Clocks}. */
export interface TimeSource {
  /** Unix time, in milliseconds. */
  realtimeMs(): number;
  /** Milliseconds since an arbitrary fixed point; never decreases. */
  monotonicMs(): number;
}

/** The clocks of one job. */
export class Clocks {
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

  /** Reads a clock for the guest, in nanoseconds rounded down to a tick; undefined if there is no such clock. */
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

  /** Current time for file timestamps, in ticks since the start of the job. */
  now(): number {
    return this.#tick() - this.#firstTick;
  }

  /** Converts a result of {@linkcode Clocks.now} to Unix time, in ticks. */
  unixTicks(now: number): number {
    return this.#firstTick + now;
  }

  /** Runs a blocking function; the CPU clocks do not advance meanwhile. */
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
