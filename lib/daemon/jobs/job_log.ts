/**
 * Logs finished jobs in batches after the response: a log line costs a twentieth of a short job.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobStore } from "../store/mod.ts";

/** Maximum delay of a log line, in ms; long enough to send the response first. */
const LATER_MS = 5;

/** Options of {@linkcode JobLog}. */
export interface JobLogOptions {
  store: Pick<JobStore, "get">;
  log: Logger;
}

/** Batches log lines of finished jobs. */
export class JobLog {
  readonly #options: JobLogOptions;
  readonly #waiting: { id: string; latencyMs: number }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: JobLogOptions) {
    this.#options = options;
  }

  /** Queues the log line of a finished job; `latencyMs` counts from acceptance. */
  add(id: string, latencyMs: number): void {
    this.#waiting.push({ id, latencyMs });
    this.#timer ??= setTimeout(() => this.flush(), LATER_MS);
  }

  /** Writes all queued lines. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { store, log } = this.#options;
    for (const { id, latencyMs } of this.#waiting.splice(0)) {
      log.info("job-ended", { job_id: id, ...endOf(store, id), latency_ms: latencyMs });
    }
  }
}

/** Log fields from the store; reduced when the job was deleted or cannot be read. */
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
