/**
 * A job that is over, with what it wrote, in one answer.
 * @module
 */
import type { JobResultJson } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { JobRecord, JobStore, OutputStream } from "../store/mod.ts";
import { jobJson } from "./job_json.ts";

/** Output up to here is in the answer, in bytes a stream; more is read by itself. */
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
