/**
 * Times the collection of a job's output files: the guest has ended, so that the job's own time limits do not apply.
 *
 * @module
 */
import { collectionLimitMs, describeSlowCollection } from "../ipc/mod.ts";
import type { SandboxLimits } from "../job_types.ts";
import type { ExceededLimit, JobMonitor } from "./job_monitor.ts";

/** Time in which a guest that exceeded its limit must make a call, at which it is stopped, in milliseconds. */
const STOP_GRACE_MS = 250;

/** A guest that can be asked to stop. */
interface StoppableGuest {
  /** Stops the guest at its next call. */
  requestStop(): void;
}

/** What was measured when the guest ended. */
interface GuestFigures {
  /** CPU time of the job, in milliseconds. */
  cpuTimeMs: number;
  /** The time limit that the guest had exceeded, if any. */
  late: ExceededLimit | undefined;
}

/** Collection of one job's output files. */
export class FileCollection {
  readonly #limits: SandboxLimits;
  readonly #monitor: JobMonitor;
  readonly #begun = Promise.withResolvers<void>();
  readonly #expired = Promise.withResolvers<ExceededLimit>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #guest: GuestFigures | undefined;
  #reason: ExceededLimit | undefined;

  /** Prepares a collection, which may never begin. */
  constructor(limits: SandboxLimits, monitor: JobMonitor) {
    this.#limits = limits;
    this.#monitor = monitor;
  }

  /** What was measured when the collection began, if it did. */
  get guest(): GuestFigures | undefined {
    return this.#guest;
  }

  /** Why the guest was asked to stop, if it was. */
  get reason(): ExceededLimit | undefined {
    return this.#reason;
  }

  /** Whether the guest was asked to stop. */
  get isStopped(): boolean {
    return this.#reason !== undefined;
  }

  /** Resolves when the reader of the output files was too slow. */
  get expired(): Promise<ExceededLimit> {
    return this.#expired.promise;
  }

  /** Records that the guest has ended; further calls have no effect. */
  begin(): void {
    if (this.#guest !== undefined) return;
    const cpuTimeMs = this.#monitor.cpuTimeMs();
    this.#guest = { cpuTimeMs, late: this.#monitor.exceededTime(cpuTimeMs) };
    this.#monitor.stop();
    const limitMs = collectionLimitMs(this.#limits);
    this.#timer = setTimeout(() => {
      this.#expired.resolve({ status: "timeout", message: describeSlowCollection(limitMs) });
    }, limitMs);
    this.#begun.resolve();
  }

  /**
   * Asks a guest that exceeded a limit to stop. Does not resolve if it stops and its files are collected: only if it
   * computes without a call.
   */
  async stop(reason: ExceededLimit, guest: StoppableGuest): Promise<void> {
    this.#reason = reason;
    guest.requestStop();
    const grace = Promise.withResolvers<"expired">();
    const timer = setTimeout(() => grace.resolve("expired"), STOP_GRACE_MS);
    const first = await Promise.race([this.#begun.promise, grace.promise]);
    clearTimeout(timer);
    if (first !== "expired") return await new Promise<never>(() => {});
  }

  /** Stops the timer. */
  end(): void {
    clearTimeout(this.#timer);
  }
}
