/**
 * Exit statuses of commands that end as a job did.
 * @module
 */
import type { JobStatus } from "../core/mod.ts";

/** Exit statuses of jobs that did not exit by themselves; see the contract in ARCHITECTURE.md. */
const EXIT_OF_STATUS: Record<Exclude<JobStatus, "exited">, number> = {
  timeout: 124,
  cancelled: 130,
  trapped: 134,
  memory: 137,
  output: 137,
  rejected: 77,
};

/** A guest may exit with 32 bits, a process with 8: what does not fit must not look like success. */
export function exitStatusOf(status: JobStatus, exitCode: number | null): number {
  return status === "exited" ? Math.min(exitCode ?? 0, 255) : EXIT_OF_STATUS[status];
}
