/**
 * A job as it is stored when it has just been accepted.
 * @module
 */
import type { JobRecord, NewJob } from "./job_record.ts";

/** What reading it back would give, but for its seq, which is 0 until it is stored. */
export function newRecord(job: NewJob): JobRecord {
  return {
    ...job,
    seq: 0,
    state: "queued",
    status: null,
    exitCode: null,
    message: null,
    error: null,
    stdin: job.stdin ?? null,
    piped: job.piped ?? false,
    target: job.target ?? null,
    peer: null,
    attempts: 0,
    startedAt: null,
    finishedAt: null,
    stdoutBytes: 0,
    stderrBytes: 0,
    receipt: null,
  };
}
