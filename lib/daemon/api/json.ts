/**
 * Jobs and events as the API tells them; schemas/openapi.json describes them.
 * @module
 */
import type { PlasmErrorJson } from "../../errors.ts";
import type { JobStatus } from "../../sandbox/types.ts";
import type { JobEvent, JobPriority, JobRecord, JobState, OutputStream } from "../types.ts";

/** A job as the API tells it. Times are RFC 3339 in UTC. */
export interface JobJson {
  id: string;
  submitter: string;
  state: JobState;
  status: JobStatus | null;
  exit_code: number | null;
  message: string | null;
  error: PlasmErrorJson | null;
  /** Jobs that start before it, while it is queued. */
  position: number | null;
  priority: JobPriority;
  manifest_hash: string;
  module_hash: string;
  stdin_hash: string | null;
  nonce: string;
  attempts: number;
  created_at: string;
  started_at: string | null;
  finished_at: string | null;
  stdout_bytes: number;
  stderr_bytes: number;
}

/** An event as the API tells it. */
export type EventJson =
  & { id: number; at: string }
  & (
    | { type: "queued"; position: number }
    | { type: "started"; attempt: number }
    /** `data` is base64. */
    | { type: OutputStream; offset: number; data: string }
    | { type: "interrupted"; rerun: boolean }
    | { type: "finished"; status: JobStatus; exit_code: number | null; message: string | null }
    | { type: "failed"; error: PlasmErrorJson }
  );

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/** A job as the API tells it. */
export function jobJson(job: JobRecord, position?: number | undefined): JobJson {
  return {
    id: job.id,
    submitter: job.submitter,
    state: job.state,
    status: job.status,
    exit_code: job.exitCode,
    message: job.message,
    error: job.error,
    position: position ?? null,
    priority: job.priority,
    manifest_hash: job.manifestHash,
    module_hash: job.moduleHash,
    stdin_hash: job.stdinHash,
    nonce: job.nonce,
    attempts: job.attempts,
    created_at: time(job.createdAt),
    started_at: job.startedAt === null ? null : time(job.startedAt),
    finished_at: job.finishedAt === null ? null : time(job.finishedAt),
    stdout_bytes: job.stdoutBytes,
    stderr_bytes: job.stderrBytes,
  };
}

/** An event as the API tells it. */
export function eventJson(event: JobEvent): EventJson {
  const at = time(event.at);
  switch (event.type) {
    case "stdout":
    case "stderr":
      return { ...event, at, data: event.data.toBase64() };
    case "finished": {
      const { id, type, status, exitCode, message } = event;
      return { id, at, type, status, exit_code: exitCode, message };
    }
    default:
      return { ...event, at };
  }
}
