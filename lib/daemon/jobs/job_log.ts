/**
 * Lines in the log about jobs that have ended. They are written a moment later, several at once: a line
 * costs as much as a twentieth of a short job, and its client is answered first.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobStore } from "../store/mod.ts";

/** How long a line waits at most, in ms: by then an answer has left, and nobody reads logs as fast. */
const LATER_MS = 5;

/** Options of {@linkcode JobLog}. */
export interface JobLogOptions {
  store: Pick<JobStore, "get">;
  log: Logger;
}

/** The lines. */
export class JobLog {
  readonly #options: JobLogOptions;
  readonly #waiting: { id: string; latencyMs: number }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: JobLogOptions) {
    this.#options = options;
  }

  /** Notes that a job is over, so many milliseconds after it was accepted. */
  add(id: string, latencyMs: number): void {
    this.#waiting.push({ id, latencyMs });
    this.#timer ??= setTimeout(() => this.flush(), LATER_MS);
  }

  /** Writes all that wait. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { store, log } = this.#options;
    for (const { id, latencyMs } of this.#waiting.splice(0)) {
      log.info("job-ended", { job_id: id, ...endOf(store, id), latency_ms: latencyMs });
    }
  }
}

/** What the store knows of a job: nothing where its client has deleted it, or the disk does not answer. */
function endOf(store: JobLogOptions["store"], id: string): Record<string, unknown> {
  try {
    const job = store.get(id);
    return job === undefined ? { state: "deleted" } : {
      submitter: job.submitter,
      state: job.state,
      status: job.status ?? undefined,
      exit_code: job.exitCode ?? undefined,
      error_code: job.error?.code,
    };
  } catch (error) {
    return { state: "unknown", error: PlasmError.from(error) };
  }
}
