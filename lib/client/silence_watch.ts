/**
 * Finds out whether a daemon that is silent still answers.
 *
 * @module
 */

/** Silence after which the client checks whether the daemon still answers, in milliseconds. */
const SILENCE_MS = 3000;

/** Interval between looks at the waits, in milliseconds. */
const INTERVAL_MS = 500;

/** One wait for the daemon. */
interface Wait {
  /** Start, or the last check that succeeded; in milliseconds as of `performance.now()`. */
  since: number;
  /** Ends the wait with an error. */
  fail: (error: unknown) => void;
}

/**
 * Watches all waits for one daemon with one timer: a timer for each request would cost a tenth of a small job.
 *
 * A request may take hours, but a process that is stopped or blocked never answers: after each silence another request
 * checks that the daemon still answers.
 */
export class SilenceWatch implements Disposable {
  readonly #probe: () => Promise<void>;
  readonly #waits = new Set<Wait>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #isProbing = false;
  #isDisposed = false;

  /** @param probe Checks that the daemon answers; its error ends the waits that were silent. */
  constructor(probe: () => Promise<void>) {
    this.#probe = probe;
  }

  /**
   * Waits for the daemon.
   *
   * @throws {Error} The error of `waiting`, or that of the check
   */
  async answered<T>(waiting: Promise<T>): Promise<T> {
    const silent = Promise.withResolvers<never>();
    const wait: Wait = { since: performance.now(), fail: silent.reject };
    this.#waits.add(wait);
    if (this.#timer === undefined && !this.#isDisposed) this.#start();
    try {
      return await Promise.race([waiting, silent.promise]);
    } finally {
      this.#waits.delete(wait);
    }
  }

  #start(): void {
    this.#timer = setInterval(() => void this.#look(), INTERVAL_MS);
    // The timer must not delay the exit of the process; a pending request does.
    Deno.unrefTimer(this.#timer);
  }

  #stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  async #look(): Promise<void> {
    if (this.#waits.size === 0) return this.#stop();
    const now = performance.now();
    const silent = [...this.#waits].filter(({ since }) => now - since >= SILENCE_MS);
    if (silent.length === 0 || this.#isProbing) return;
    this.#isProbing = true;
    try {
      await this.#probe();
      for (const wait of silent) wait.since = performance.now();
    } catch (error) {
      for (const { fail } of silent) fail(error);
    } finally {
      this.#isProbing = false;
    }
  }

  /** Stops watching; later waits are not watched. */
  [Symbol.dispose](): void {
    this.#isDisposed = true;
    this.#stop();
  }
}
