/**
 * Sends a job to its executor: header, module, inputs, standard input.
 * @module
 */
import { joinBytes } from "../../util/mod.ts";
import {
  encodeIpcFrame,
  encodeIpcHeader,
  encodeIpcJson,
  FrameKind,
  type JobHeader,
  type ModuleHeader,
} from "../ipc/mod.ts";
import { pumpStdin } from "./stdin_pump.ts";
import type { SandboxJob } from "../job_types.ts";

/** Takes bytes; resolves when there is room for more. */
type Write = (bytes: Uint8Array) => Promise<void>;

/** Options of {@linkcode sendAhead}. */
export interface SendAheadOptions {
  /** What is said of the module. */
  module: ModuleHeader;
  /** Takes bytes; resolves when there is room for more. */
  write: Write;
}

/** Options of {@linkcode sendStdin}. */
export interface SendStdinOptions {
  /** Takes bytes; resolves when there is room for more. */
  write: Write;
  /** Aborted when the job has ended: standard input that is unread stays unread. */
  signal: AbortSignal;
}

/** Options of {@linkcode sendJob}. */
export interface SendJobOptions extends SendAheadOptions, SendStdinOptions {}

/**
 * What is gathered into one write, in bytes: what a pipe holds. A small job then takes one write and
 * one read instead of five.
 */
const GATHERED_BYTES = 64 * 1024;

/** Sends all of a job; rejects when its process has died. */
export async function sendJob(job: SandboxJob, options: SendJobOptions): Promise<void> {
  const out = new WriteCoalescer(options.write);
  await putHead(job, out, options.module);
  await putStdin(job, out, options.signal);
}

/** Sends all of a job but standard input, to a process that need not have begun; rejects when it has died. */
export async function sendAhead(job: SandboxJob, options: SendAheadOptions): Promise<void> {
  const out = new WriteCoalescer(options.write);
  await putHead(job, out, options.module);
  await out.flush();
}

/** Sends the standard input of a job whose other parts were sent; rejects when its process has died. */
export async function sendStdin(job: SandboxJob, options: SendStdinOptions): Promise<void> {
  await putStdin(job, new WriteCoalescer(options.write), options.signal);
}

/** Gathers small parts. */
class WriteCoalescer {
  readonly write: Write;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(write: Write) {
    this.write = write;
  }

  /** Takes a part, which must not be changed before the next flush. */
  async put(part: Uint8Array): Promise<void> {
    if (this.#bytes + part.length > GATHERED_BYTES) await this.flush();
    // What is large anyway is not copied.
    if (part.length > GATHERED_BYTES) return await this.write(part);
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  /** Sends what there is. */
  async flush(): Promise<void> {
    if (this.#bytes === 0) return;
    const whole = this.#parts.length === 1 ? this.#parts[0]! : joinBytes(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    await this.write(whole);
  }
}

async function putHead(
  job: SandboxJob,
  out: WriteCoalescer,
  module: SendAheadOptions["module"],
): Promise<void> {
  const inputs = job.inputs ?? [];
  const isReordered = !module.isKept && job.reordered !== undefined;
  const header: JobHeader = {
    module,
    isReordered,
    args: [...job.args],
    env: { ...job.env },
    limits: job.limits,
    inputs: inputs.map(({ path, data }) => ({ path, file: data !== undefined })),
    isWarmUp: job.isWarmUp ?? false,
  };
  const putFrame = async (kind: number, payload: Uint8Array): Promise<void> => {
    await out.put(encodeIpcHeader(kind, payload.length));
    await out.put(payload);
  };
  await out.put(encodeIpcJson(FrameKind.Job, header));
  if (!module.isKept) await putFrame(FrameKind.Module, job.module);
  if (isReordered) await putFrame(FrameKind.Reordered, job.reordered!);
  for (const { data } of inputs) {
    if (data !== undefined) await putFrame(FrameKind.Input, data);
  }
}

async function putStdin(job: SandboxJob, out: WriteCoalescer, signal: AbortSignal): Promise<void> {
  // The next bytes of a stream may let wait for themselves: nothing is held back for them.
  const isStream = job.stdin instanceof ReadableStream;
  if (isStream) await out.flush();
  const write: Write = isStream ? out.write : (part) => out.put(part);
  await pumpStdin(job.stdin, { write, signal });
  await out.put(encodeIpcFrame(FrameKind.StdinEnd));
  await out.flush();
}
