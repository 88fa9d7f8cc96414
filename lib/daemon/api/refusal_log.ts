/**
 * Logs refused requests as warnings, at a limited rate.
 * @module
 */
import { type ErrorCode, PlasmError } from "../../core/errors/mod.ts";

/** Codes by which the node refuses a request because of its policy, limits or load. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  "unauthorized",
  "forbidden",
  "policy",
  "over-limit",
  "too-large",
  "queue-full",
  "busy",
]);

/** Period of the rate limit, in milliseconds. */
const PERIOD_MS = 10_000;

/** Maximum number of lines in a period: a client that retries must not fill the journal. */
const MAX_LINES = 20;

/** Options of {@linkcode RefusalLog}. */
export interface RefusalLogOptions {
  /** Logs a line. */
  log: { warning(event: string, fields: Record<string, unknown>): void };
  /** Monotonic clock, in milliseconds. @default {performance.now} */
  now?: (() => number) | undefined;
}

/** Logs refused requests; lines beyond the rate limit are counted in the next period's first line. */
export class RefusalLog {
  readonly #log: RefusalLogOptions["log"];
  readonly #now: () => number;
  #since = -Infinity;
  #lines = 0;
  #suppressed = 0;

  constructor(options: RefusalLogOptions) {
    this.#log = options.log;
    this.#now = options.now ?? (() => performance.now());
  }

  /** Logs an error if it is a refusal. */
  add(error: unknown, request: Readonly<Record<string, unknown>>): void {
    if (!(error instanceof PlasmError) || !REFUSALS.has(error.code)) return;
    const now = this.#now();
    if (now - this.#since >= PERIOD_MS) {
      this.#since = now;
      this.#lines = 0;
    }
    if (++this.#lines > MAX_LINES) {
      this.#suppressed++;
      return;
    }
    const suppressed = this.#suppressed || undefined;
    this.#suppressed = 0;
    this.#log.warning("request-refused", { ...request, error, suppressed });
  }
}
