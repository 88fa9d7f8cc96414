/**
 * Decides when a node runs jobs of peers: hours of the day, load of the machine, and battery, as `network.policy` allows.
 *
 * @module
 */
import type { Config } from "../../config/mod.ts";

/** Availability of a node for jobs of peers. */
export interface Availability {
  /** Whether the node accepts jobs of peers now. */
  accepting: boolean;
  /** What limits or prevents them; null if nothing does. */
  reason: "hours" | "battery" | "load" | null;
  /** CPU cores for jobs of peers now. */
  cores: number;
}

/** Reads the state of the machine. */
export interface MachineState {
  /** Current time. */
  now(): Date;
  /** Load average of the last minute, in running processes. */
  load(): number;
  /** Whether the machine runs on battery; undefined if that cannot be determined. */
  onBattery(): Promise<boolean | undefined>;
  /** CPU cores. */
  cores: number;
}

/** Programs that exit with 0 on mains power and 1 on battery; Deno permits no access to /sys. */
const AC_POWER_PROGRAMS = ["/usr/bin/systemd-ac-power", "/usr/lib/systemd/systemd-ac-power"];

/** Interval between readings of the battery, in milliseconds: each starts a process. */
const BATTERY_MS = 30_000;

/** State of this machine. */
export const THIS_MACHINE: MachineState = {
  now: () => new Date(),
  load: () => Deno.loadavg()[0] ?? 0,
  async onBattery() {
    for (const program of AC_POWER_PROGRAMS) {
      try {
        const { code } = await new Deno.Command(program, {
          stdin: "null",
          stdout: "null",
          stderr: "null",
        }).output();
        return code === 1;
      } catch {
        // Not installed.
      }
    }
    return undefined;
  },
  cores: navigator.hardwareConcurrency,
};

/** Applies the donor's policy. */
export class DonorPolicy {
  readonly #config: () => Config;
  readonly #machine: MachineState;
  #onBattery: boolean | undefined = false;
  #readAt = -Infinity;

  constructor(config: () => Config, machine: MachineState = THIS_MACHINE) {
    this.#config = config;
    this.#machine = machine;
  }

  /** Reads whether the machine runs on battery if the policy depends on it, at most every {@linkcode BATTERY_MS}. */
  async refresh(): Promise<void> {
    if (this.#config().network.policy.on_battery) {
      this.#onBattery = false;
      this.#readAt = -Infinity;
      return;
    }
    const now = performance.now();
    if (now - this.#readAt < BATTERY_MS) return;
    this.#readAt = now;
    this.#onBattery = await this.#machine.onBattery();
  }

  /** Whether the policy depends on a battery that cannot be read; jobs are then accepted. */
  get isBatteryUnknown(): boolean {
    return this.#onBattery === undefined;
  }

  /** Availability at this time; the battery is as of the latest {@linkcode DonorPolicy.refresh}. */
  get availability(): Availability {
    const { policy } = this.#config().network;
    const { cores } = this.#machine;
    const closed = (reason: "hours" | "battery") => ({ accepting: false, reason, cores: 0 });
    if (!isWithin(policy.hours, this.#machine.now())) return closed("hours");
    if (this.#onBattery === true) return closed("battery");
    const limit = policy.busy_load_percent;
    if (limit === null || this.#machine.load() * 100 <= limit * cores) {
      return { accepting: true, reason: null, cores };
    }
    const shared = Math.floor(cores * policy.busy_cores_percent / 100);
    return { accepting: shared > 0, reason: "load", cores: shared };
  }
}

/** Reports whether a local time is in one of the ranges such as `22:00-06:00`; an empty list is always. */
export function isWithin(hours: readonly string[], time: Date): boolean {
  if (hours.length === 0) return true;
  const minute = time.getHours() * 60 + time.getMinutes();
  return hours.some((range) => {
    const [from, to] = range.split("-").map(minuteOf) as [number, number];
    return from < to ? minute >= from && minute < to : minute >= from || minute < to;
  });
}

function minuteOf(text: string): number {
  const [hour, minute] = text.split(":").map(Number) as [number, number];
  return hour * 60 + minute;
}

/** Reasons, in words that complete "node accepts …". */
const REASONS = {
  hours: "no jobs of peers at this time of day",
  battery: "no jobs of peers while it runs on battery",
  load: "no jobs of peers while its load is high",
} as const;

/** Describes why a node accepts no jobs; undefined if it accepts some. */
export function closedReason({ accepting, reason }: Availability): string | undefined {
  return accepting || reason === null ? undefined : `node accepts ${REASONS[reason]}`;
}
