/**
 * Derives the result of a job from the exit status and standard error of the process that ended with it.
 *
 * @module
 */
import { STOPPING_MARK } from "../ipc/mod.ts";
import type { JobStatus } from "../job_types.ts";

/** Why a process ended without a report. */
export interface ExitReason {
  /** Status of the job. */
  status: JobStatus;
  /** Explanation. */
  message: string;
}

/** Maximum length of retained standard error, in characters: V8 prints the reason first and then a stack trace. */
const MAX_RETAINED_CHARS = 16 * 1024;

/** What V8, Rust and glibc print when a memory allocation fails. */
const OUT_OF_MEMORY = /out of memory|OOM|heap limit|memory allocation of|Allocation failed/i;

/** Reads a process's standard error to its end and retains the beginning. */
export class StderrReader {
  /** Resolves at the end of the stream. */
  readonly done: Promise<void>;
  /** Called when the process reports that it stops its job. */
  onStopping: () => void = () => {};
  #text = "";

  /** Starts to read. */
  constructor(stream: ReadableStream<Uint8Array>) {
    this.done = this.#read(stream);
  }

  /** The retained text. */
  text(): string {
    return this.#text;
  }

  /** The first line of the text, for an error message. */
  summary(): string {
    const line = this.#text.split("\n").find((text) => text.trim() !== "") ?? "it printed nothing";
    // deno-lint-ignore no-control-regex -- the runtime colours its errors
    return line.replace(/\x1b\[[0-9;]*m/g, "").trim().slice(0, 300);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    try {
      for await (const chunk of stream) {
        if (this.#text.length >= MAX_RETAINED_CHARS) continue;
        this.#text += decoder.decode(chunk, { stream: true });
        if (this.#text.includes(STOPPING_MARK)) this.onStopping();
      }
    } catch {
      // The pipe broke when the process ended.
    }
  }
}

/** Derives why a process ended from its exit status and standard error. */
export function describeExitStatus(status: Deno.CommandStatus, stderr: string): ExitReason {
  const how = status.signal ?? `exit code ${status.code}`;
  // The kernel's out-of-memory killer sends SIGKILL. Where the parent has sent it, the caller knows the reason.
  if (status.signal === "SIGKILL" || OUT_OF_MEMORY.test(stderr)) {
    return { status: "memory", message: `Job stopped: its process ran out of memory (${how})` };
  }
  if (status.signal === "SIGXCPU") {
    return { status: "timeout", message: "Job stopped: it exceeded its CPU time" };
  }
  return { status: "trapped", message: `Job trapped: it ended its process (${how})` };
}
