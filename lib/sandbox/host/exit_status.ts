/**
 * What the end of an executor process tells about the job in it.
 * @module
 */
import { STOPPING_MARK } from "../ipc/mod.ts";
import type { JobStatus } from "../job_types.ts";

/** Why a process ended that had no time to say so. */
export interface Death {
  status: JobStatus;
  message: string;
}

/** Bytes of stderr that are kept: V8's last words begin with the reason and go on with a stack. */
const KEPT_BYTES = 16 * 1024;

/** What V8, Rust and glibc say when memory cannot be had. */
const OUT_OF_MEMORY = /out of memory|OOM|heap limit|memory allocation of|Allocation failed/i;

/** Reads a process's stderr to its end and keeps the first part. */
export class StderrTail {
  /** Resolves at the end of the stream. */
  readonly done: Promise<void>;
  /** Called once the process says that it stops its job. */
  onStopping: () => void = () => {};
  #kept = "";

  constructor(stream: ReadableStream<Uint8Array>) {
    this.done = this.#read(stream);
  }

  /** What was kept. */
  text(): string {
    return this.#kept;
  }

  /** The first line of it, for a message. */
  summary(): string {
    const line = this.#kept.split("\n").find((text) => text.trim() !== "") ?? "it said nothing";
    // deno-lint-ignore no-control-regex -- the runtime colours its errors
    return line.replace(/\x1b\[[0-9;]*m/g, "").trim().slice(0, 300);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of stream) {
        if (this.#kept.length >= KEPT_BYTES) continue;
        this.#kept += decoder.decode(chunk, { stream: true });
        if (this.#kept.includes(STOPPING_MARK)) this.onStopping();
      }
    } catch {
      // The pipe broke with the process: what was kept is all there is.
    }
  }
}

/** Tells from exit status and last words what the job did to its process. */
export function describeExitStatus(status: Deno.CommandStatus, stderr: string): Death {
  const how = status.signal ?? `exit code ${status.code}`;
  // The kernel's out-of-memory killer uses SIGKILL; our own kills have been named by the caller.
  if (status.signal === "SIGKILL" || OUT_OF_MEMORY.test(stderr)) {
    return { status: "memory", message: `Job stopped: its process ran out of memory (${how})` };
  }
  if (status.signal === "SIGXCPU") {
    return { status: "timeout", message: "Job stopped: it used up its CPU time" };
  }
  return { status: "trapped", message: `Job trapped: it ended its process (${how})` };
}
