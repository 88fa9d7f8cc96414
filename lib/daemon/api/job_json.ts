/**
 * Converts jobs and events to their API form (schemas/openapi.json).
 * @module
 */
import type { EventJson, JobJson, JobResultJson } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobRecord, JobStore, OutputStream, RecordedEvent } from "../store/mod.ts";

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
    target: job.target,
    peer: job.peer,
    attempts: job.attempts,
    created_at: time(job.createdAt),
    started_at: job.startedAt === null ? null : time(job.startedAt),
    finished_at: job.finishedAt === null ? null : time(job.finishedAt),
    piped: job.piped,
    // Of output that is not kept, the receipt alone tells.
    stdout_bytes: job.piped ? job.receipt?.stdout_bytes ?? 0 : job.stdoutBytes,
    stderr_bytes: job.piped ? job.receipt?.stderr_bytes ?? 0 : job.stderrBytes,
  };
}

/** An event as the API tells it. */
export function eventJson(event: RecordedEvent): EventJson {
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

/** Maximum output per stream in a result, in bytes; more must be read from the output route. */
const INLINE_OUTPUT_BYTES = 64 * 1024;

async function output(
  job: JobRecord,
  stream: OutputStream,
  store: JobStore,
): Promise<string | null> {
  const bytes = stream === "stdout" ? job.stdoutBytes : job.stderrBytes;
  if (bytes > INLINE_OUTPUT_BYTES) return null;
  if (bytes === 0) return "";
  const whole = new Uint8Array(bytes);
  let at = 0;
  for await (const part of store.readOutput(job, stream)) {
    whole.set(part, at);
    at += part.length;
  }
  if (at < bytes) {
    throw new PlasmError("state", `Cannot read ${stream}: it ends at ${at} of ${bytes}`);
  }
  return whole.toBase64();
}

/** The answer. */
export async function resultJson(job: JobRecord, store: JobStore): Promise<JobResultJson> {
  return {
    job: jobJson(job),
    receipt: job.receipt,
    stdout: await output(job, "stdout", store),
    stderr: await output(job, "stderr", store),
  };
}
