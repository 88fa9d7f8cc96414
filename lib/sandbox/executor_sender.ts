/**
 * Sends a job to its executor: header, module, inputs, standard input.
 * @module
 */
import { joinBytes } from "../bytes.ts";
import type { JobHeader, ModuleHeader } from "./executor_protocol.ts";
import { encodeFrame, encodeFrameHeader, encodeJsonFrame, FrameKind } from "./frames.ts";
import { pumpStdin } from "./stdin_pump.ts";
import type { SandboxJob } from "./types.ts";

/** Options of {@linkcode sendJob}. */
export interface SendJobOptions {
  /** What is said of the module. */
  module: ModuleHeader;
  /** Takes bytes; resolves when there is room for more. */
  write: (bytes: Uint8Array) => Promise<void>;
  /** Aborted when the job has ended: standard input that is unread stays unread. */
  signal: AbortSignal;
}

/**
 * What is gathered into one write, in bytes: what a pipe holds. A small job then takes one write and
 * one read instead of five.
 */
const GATHERED_BYTES = 64 * 1024;

/** Sends all of a job; rejects when its process has died. */
export async function sendJob(job: SandboxJob, options: SendJobOptions): Promise<void> {
  const { module, write, signal } = options;
  const inputs = job.inputs ?? [];
  const header: JobHeader = {
    module,
    args: [...job.args],
    env: { ...job.env },
    limits: job.limits,
    inputs: inputs.map(({ path, data }) => ({ path, file: data !== undefined })),
    isWarmUp: job.isWarmUp ?? false,
  };
  let gathered: Uint8Array[] = [];
  let bytes = 0;
  const flush = async (): Promise<void> => {
    const whole = gathered.length === 1 ? gathered[0]! : joinBytes(gathered);
    gathered = [];
    bytes = 0;
    await write(whole);
  };
  const put = async (part: Uint8Array): Promise<void> => {
    if (bytes + part.length > GATHERED_BYTES && bytes > 0) await flush();
    // What is large anyway is not copied.
    if (part.length > GATHERED_BYTES) return await write(part);
    gathered.push(part);
    bytes += part.length;
  };
  await put(encodeJsonFrame(FrameKind.Job, header));
  if (!module.isKept) {
    await put(encodeFrameHeader(FrameKind.Module, job.module.length));
    await put(job.module);
  }
  for (const { data } of inputs) {
    if (data === undefined) continue;
    await put(encodeFrameHeader(FrameKind.Input, data.length));
    await put(data);
  }
  // The next bytes of a stream may let wait for themselves: nothing is held back for them.
  const isStream = job.stdin instanceof ReadableStream;
  if (isStream) await flush();
  await pumpStdin(job.stdin, { write: isStream ? write : put, signal });
  await put(encodeFrame(FrameKind.StdinEnd));
  await flush();
}
