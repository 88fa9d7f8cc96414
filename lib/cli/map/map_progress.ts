/**
 * Shows the progress of `plasm map --bar`: a line on a terminal, JSON lines otherwise.
 *
 * @module
 */
import type { MapProgress } from "../../map/mod.ts";
import type { CliIo } from "../io.ts";

/** Moves to the start of the line and erases it (ECMA-48, EL). */
const CLEAR = "\r\x1b[K";

/** Least time between two updates of the line, in milliseconds. */
const LINE_MS = 100;

/** Least time between two JSON lines, in milliseconds. */
const JSON_MS = 1000;

/** Options of {@linkcode ProgressBar}. */
export interface ProgressBarOptions {
  /** Number of items, if it is known. */
  total: number | undefined;
  /** Reads a monotonic clock, in milliseconds. @default {performance.now} */
  now?: (() => number) | undefined;
}

/** Progress on standard error. */
export class ProgressBar {
  readonly #io: Pick<CliIo, "message" | "stderrIsTerminal">;
  readonly #total: number | undefined;
  readonly #now: () => number;
  readonly #start: number;
  #shownAt = -Infinity;
  /** Items of the last JSON line. */
  #shownDone = -1;
  #isShown = false;

  constructor(
    io: Pick<CliIo, "message" | "stderrIsTerminal">,
    { total, now = () => performance.now() }: ProgressBarOptions,
  ) {
    this.#io = io;
    this.#total = total;
    this.#now = now;
    this.#start = now();
  }

  /** Shows the progress, unless it was shown a moment ago. */
  async show(progress: MapProgress, { isLast = false }: { isLast?: boolean } = {}): Promise<void> {
    const now = this.#now();
    const { stderrIsTerminal } = this.#io;
    if (isLast && !stderrIsTerminal && progress.done === this.#shownDone) return;
    if (!isLast && now - this.#shownAt < (stderrIsTerminal ? LINE_MS : JSON_MS)) return;
    this.#shownDone = progress.done;
    this.#shownAt = now;
    const { done, failed, retried, reused, running } = progress;
    const seconds = (now - this.#start) / 1000;
    const left = this.#secondsLeft(progress, seconds);
    if (stderrIsTerminal) {
      this.#isShown = true;
      const share = this.#total === undefined || this.#total === 0
        ? `${done}`
        : `${Math.floor(100 * done / this.#total)} % ${done}/${this.#total}`;
      const eta = left === undefined ? "" : `, ${timeText(left)} left`;
      await this.#io.message(`${CLEAR}${share} done, ${failed} failed, ${running} running${eta}`);
    } else {
      await this.#io.message(
        `${
          JSON.stringify({
            event: "progress",
            done,
            failed,
            retried,
            reused,
            running,
            ...(this.#total === undefined ? {} : { total: this.#total }),
            ...(left === undefined ? {} : { seconds_left: Math.round(left) }),
          })
        }\n`,
      );
    }
  }

  /** Erases the line, for other output. */
  async clear(): Promise<void> {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#shownAt = -Infinity;
    await this.#io.message(CLEAR);
  }

  #secondsLeft({ done, reused }: MapProgress, seconds: number): number | undefined {
    // Reused results cost nothing.
    const ran = done - reused;
    if (this.#total === undefined || ran === 0) return undefined;
    return (this.#total - done) * seconds / ran;
  }
}

function timeText(seconds: number): string {
  const whole = Math.ceil(seconds);
  const two = (part: number): string => String(part).padStart(2, "0");
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes}:${two(whole % 60)}`;
  return `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${two(whole % 60)}`;
}
