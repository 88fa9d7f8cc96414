/**
 * What goes into the sandbox and what comes out of it.
 * @module
 */

import type { JobStatus } from "../core/mod.ts";
import type { FileInput } from "../wasi/mod.ts";

export type { FileInput, JobStatus };

/** What a job may use. Everything is a ceiling; all are integers. */
export interface SandboxLimits {
  /** Linear memories together, in bytes. */
  memoryBytes: number;
  /** Wall time from start (compiling included) to end, in milliseconds. */
  wallTimeMs: number;
  /** CPU time of the whole executor for this job, compiling included, in milliseconds. */
  cpuTimeMs: number;
  /** stdout and stderr together, in bytes. */
  outputBytes: number;
  /** Content and names of the in-memory file system, inputs included, in bytes. */
  fsBytes: number;
  /** Files, directories and links of the in-memory file system. */
  fsInodes: number;
  /** File descriptors open at once. */
  openFds: number;
  /** Size of the module, in bytes. */
  moduleBytes: number;
}

/** A job as the sandbox sees it: no names, no keys, no network. */
export interface SandboxJob {
  /** The WebAssembly module's bytes. */
  module: Uint8Array;
  /**
   * Names the bytes, as their hash does: an executor that has compiled them for the same limits runs
   * them again without.
   * @default {none: compiled for this job alone}
   */
  moduleKey?: string | undefined;
  /**
   * The module with its functions reordered, if the host computed it while the child started.
   * @default {the child reorders it}
   */
  reordered?: Uint8Array | undefined;
  /** Arguments after argv[0]. */
  args: readonly string[];
  /** The whole environment. */
  env: Readonly<Record<string, string>>;
  /** Standard input. @default {empty} */
  stdin?: ReadableStream<Uint8Array> | Uint8Array | undefined;
  /** Files given to the job. @default {none} */
  inputs?: readonly FileInput[] | undefined;
  /** What the job may use. */
  limits: SandboxLimits;
  /**
   * Whether it is a job of our own: what its executor holds afterwards is what it needs, not what jobs have left.
   * @default {false}
   */
  isWarmUp?: boolean | undefined;
}

/** What a job used. */
export interface SandboxUsage {
  /** From start to end, in milliseconds. */
  wallTimeMs: number;
  /** CPU time of the executor for this job, in milliseconds. */
  cpuTimeMs: number;
  /**
   * Linear memories and file system at their largest; where the process had to be killed, the
   * growth of its resident memory as last seen. In bytes.
   */
  memoryPeakBytes: number;
}

/** How a job ended. */
export interface SandboxOutcome {
  /** Why it ended; `rejected` never comes from the sandbox: a node says it that ran nothing. */
  status: JobStatus;
  /** The job's own exit code where it exited, else null. */
  exitCode: number | null;
  /** For people: what happened, with figures, where the job did not simply exit. */
  message?: string | undefined;
  /** What it used. */
  usage: SandboxUsage;
  /** Unix time in milliseconds. */
  startedAt: number;
  /** Unix time in milliseconds. */
  finishedAt: number;
}

/** What happens to a job, in order: started, any output, finished. */
export type SandboxEvent =
  | { type: "started"; at: number }
  | { type: "stdout"; data: Uint8Array }
  | { type: "stderr"; data: Uint8Array }
  | { type: "finished"; outcome: SandboxOutcome };
