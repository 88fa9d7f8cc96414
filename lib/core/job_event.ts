/**
 * The events of a job: one shape for local, daemon and remote jobs.
 *
 * @module
 */
import type { JobStatus, Receipt } from "./types.gen.ts";

/** How a job ended. */
export interface JobOutcome {
  /** Why the job ended. */
  status: JobStatus;
  /** The job's exit code if `status` is `exited`, else null. */
  exitCode: number | null;
  /** Human-readable reason with figures if `status` is not `exited`. */
  message?: string | undefined;
}

/**
 * An event of a job. Events arrive in this order: `queued` (again when the position changes), `started`, any output, `finished`.
 * A job that starts at once emits no `queued`.
 *
 * A source may add fields: a daemon's events carry an id and a time, a local job's outcome its usage.
 */
export type JobEvent<Outcome extends JobOutcome = JobOutcome> =
  | {
    type: "queued";
    /** The job's id. */
    jobId: string;
    /** Jobs that start earlier; undefined if the source does not report it. */
    position?: number | undefined;
  }
  | {
    type: "started";
    /** Start time, Unix time in milliseconds. */
    at: number;
    /** 1 for the first run, higher after a crash of the node; undefined if the source does not count runs. */
    attempt?: number | undefined;
  }
  | {
    type: "stdout" | "stderr";
    /** The bytes written. */
    data: Uint8Array;
  }
  | {
    type: "finished";
    /** How the job ended. */
    outcome: Outcome;
    /** The verified receipt; undefined if the source has none. */
    receipt?: Receipt | undefined;
  };
