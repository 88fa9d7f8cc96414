/**
 * Holds a result until the disk takes it: a disk that is full for a while must not cost a job its receipt.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobStore } from "../store/mod.ts";

/** Saves how a job ended; see {@linkcode JobStore.finish}. */
export type SaveEnd = (...end: Parameters<JobStore["finish"]>) => Promise<void>;

/** How long to wait before the disk is tried again, in milliseconds. */
const AGAIN_MS = 2000;

/** The node stops before a result could be saved: the job counts as interrupted from then on. */
export class UnsavedEnd extends Error {
  override readonly cause: PlasmError;

  constructor(cause: PlasmError) {
    super(cause.message);
    this.cause = cause;
  }
}

/**
 * Saves how a job ended, again and again while the disk refuses.
 *
 * @throws {UnsavedEnd} when the node stops meanwhile
 */
export async function saveEnd(
  store: JobStore,
  end: Parameters<JobStore["finish"]>,
  options: { log: Logger; signal: AbortSignal },
): Promise<void> {
  const { log, signal } = options;
  const [{ id }] = end;
  while (true) {
    try {
      return await store.finish(...end);
    } catch (error) {
      const fault = PlasmError.from(error);
      log.error("job-result-not-saved", { job_id: id, error: fault });
      if (signal.aborted && signal.reason === "shutdown") throw new UnsavedEnd(fault);
      await pause(signal);
    }
  }
}

function pause(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, AGAIN_MS);
    signal.addEventListener("abort", done);
  });
}
