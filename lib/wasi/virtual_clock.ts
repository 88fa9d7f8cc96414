/**
 * Implements the four WASI clocks of the deterministic profile, on which only the guest's own calls pass time
 * (docs/adr/0015-deterministic-profile.md).
 *
 * @module
 */
import {
  CLOCK,
  CLOCK_RESOLUTION_NS,
  type Clocks,
  type Deadline,
  isClock,
  MONOTONIC_START_MS,
  type Timeout,
} from "./clock.ts";
import type { Timestamp } from "./fs/inode.ts";

/** Time that passes with each read of any clock, in nanoseconds: the resolution, so that two readings differ. */
const STEP_NS = BigInt(CLOCK_RESOLUTION_NS);

const NS_PER_MS = 1_000_000n;

const MONOTONIC_START_NS = BigInt(MONOTONIC_START_MS) * NS_PER_MS;

/**
 * The clocks of a deterministic job. All of them read one counter of elapsed time, which starts at 0, grows by a step
 * after each read, and by the duration of each sleep. The realtime clock adds `epochMs`, the monotonic clock one
 * second, and the CPU clocks subtract what was slept.
 */
export class VirtualClocks implements Clocks {
  #epochNs: bigint;
  #elapsedNs = 0n;
  #sleptNs = 0n;

  /** @param epochMs Unix time at the start of the job, in milliseconds. */
  constructor(epochMs: number) {
    this.#epochNs = BigInt(epochMs) * NS_PER_MS;
  }

  /** Reads a clock; later reads of all clocks return more. */
  read(id: number): bigint | undefined {
    if (!isClock(id)) return undefined;
    const time = this.#elapsedNs + this.#startOf(id);
    this.#elapsedNs += STEP_NS;
    return time;
  }

  /** The realtime clock; this read takes no time. */
  now(): bigint {
    return this.#elapsedNs + this.#epochNs;
  }

  unixTime(time: Timestamp): number | bigint {
    return time;
  }

  /** Deadlines of all clocks are values of the one counter. */
  deadline({ clock, timeoutNs, isAbsolute }: Timeout): Deadline {
    const start = isAbsolute ? -this.#startOf(clock) : this.#elapsedNs;
    return { clock, time: start + timeoutNs };
  }

  isReached({ time }: Deadline): boolean {
    return this.#elapsedNs >= time;
  }

  /** Advances to the earliest deadline, without blocking. */
  waitFor(deadlines: readonly Deadline[]): void {
    let earliest: bigint | undefined;
    for (const { time } of deadlines as readonly { time: bigint }[]) {
      if (earliest === undefined || time < earliest) earliest = time;
    }
    const slept = earliest! - this.#elapsedNs;
    this.#elapsedNs += slept;
    this.#sleptNs += slept;
  }

  /** Blocking takes no time. */
  blocked<T>(wait: () => T): T {
    return wait();
  }

  /** Value of a clock when the counter is 0, in nanoseconds. */
  #startOf(clock: number): bigint {
    if (clock === CLOCK.REALTIME) return this.#epochNs;
    return clock === CLOCK.MONOTONIC ? MONOTONIC_START_NS : -this.#sleptNs;
  }
}
