/**
 * How fast a client must send. Each offer whose content is under way holds a place, of which a node has
 * few: a client that sends a byte now and then, or only reconnects, must not occupy it forever.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

/** Time for which nothing is asked, in milliseconds: for a line that is cut and comes back. */
const GRACE_MS = 60_000;

/** Least average speed after that, in bytes a millisecond: 32 kbit/s, half of a telephone line. */
const LEAST_SPEED = 4;

/** Counts what came of an offer's content since it was accepted, over all of its connections. */
export class TransferRateCheck {
  readonly #now: () => number;
  readonly #start: number;
  #received = 0;

  /** @param now Milliseconds of a steady clock */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#start = now();
  }

  /** Counts content that has come. */
  add(bytes: number): void {
    this.#received += bytes;
  }

  /**
   * Checks that enough has come by now.
   *
   * @param pauseMs Longest pause that a client may make
   * @throws {PlasmError} `slow-request`
   */
  check(pauseMs: number): void {
    const elapsed = Math.round(this.#now() - this.#start);
    const allowed = Math.max(GRACE_MS, 2 * pauseMs) + Math.floor(this.#received / LEAST_SPEED);
    if (elapsed <= allowed) return;
    throw new PlasmError(
      "slow-request",
      `Cannot wait for job's content: ${this.#received} bytes came in ${elapsed} ms, ` +
        `for so many ${allowed} ms are allowed`,
      { details: { received: this.#received, elapsed_ms: elapsed, allowed_ms: allowed } },
    );
  }
}
