/**
 * Defines the types of the sandbox: a job, its limits, its events and its outcome.
 *
 * @module
 */
import type { JobEvent, JobOutcome, JobStatus, NondeterminismSource } from "../core/mod.ts";
import type { FileInput, LeftBehind, LeftBehindEntry } from "../wasi/mod.ts";

export type { FileInput, JobStatus, LeftBehind, LeftBehindEntry };

/** Limits of a job; all are integers. */
export interface SandboxLimits {
  /** All linear memories together, in bytes. */
  memoryBytes: number;
  /** Wall time from start to end, including compilation, in milliseconds. */
  wallTimeMs: number;
  /** CPU time of the executor for this job, including compilation, in milliseconds. */
  cpuTimeMs: number;
  /** stdout and stderr together, in bytes. */
  outputBytes: number;
  /** Content and names of the in-memory file system, including inputs, in bytes. */
  fsBytes: number;
  /** Files, directories and links of the in-memory file system. */
  fsInodes: number;
  /** File descriptors open at the same time. */
  openFds: number;
  /** Size of the module, in bytes. */
  moduleBytes: number;
  /** Instructions that the guest may execute. @default {not counted} */
  fuel?: number | undefined;
  /** Content of all output files together, in bytes. */
  outputFilesBytes: number;
}

/** A job of the sandbox, without keys and network. */
export interface SandboxJob {
  /** The WebAssembly module. */
  module: Uint8Array;
  /**
   * Identifies the module, for example by its hash. An executor that has compiled a module with this key and the
   * same limits uses it again.
   * @default {compiled for this job only}
   */
  moduleKey?: string | undefined;
  /** Name of the program, argv[0]. @default {"main.wasm"} */
  argv0?: string | undefined;
  /** Arguments after argv[0], or of the function that `invoke` names. */
  args: readonly string[];
  /** Name of an exported function to call instead of the command. @default {the command} */
  invoke?: string | undefined;
  /** The types of that function, once the module is inspected. @default {the command} */
  invocation?:
    | { name: string; parameters: readonly string[]; results: readonly string[] }
    | undefined;
  /** The whole environment. */
  env: Readonly<Record<string, string>>;
  /** Standard input. @default {empty} */
  stdin?: ReadableStream<Uint8Array> | Uint8Array | undefined;
  /** Files and directories of the guest's tree. @default {none} */
  inputs?: readonly FileInput[] | undefined;
  /** Guest paths to return as files; that of a directory ends in a slash. @default {none} */
  outputs?: readonly string[] | undefined;
  /** Limits of the job. */
  limits: SandboxLimits;
  /** Runs the job in the deterministic profile. @default {the default profile} */
  deterministic?: DeterministicJob | undefined;
}

/** What a deterministic job sees instead of the machine's time and random numbers. */
export interface DeterministicJob {
  /** Seed of the random numbers, 32 bytes. */
  seed: Uint8Array;
  /** Unix time at the start of the job, in milliseconds. */
  epochMs: number;
}

/** A job with internal instructions for its executor. */
export interface ExecutorJob extends SandboxJob {
  /** The module with its functions reordered, if the host has done it. @default {the child reorders it} */
  reordered?: Uint8Array | undefined;
  /**
   * Whether this job prepares the executor: memory that the process holds after it is the baseline for later jobs.
   * @default {false}
   */
  isWarmUp?: boolean | undefined;
}

/** Resources that a job used. */
export interface SandboxUsage {
  /** Time from start to end, in milliseconds. */
  wallTimeMs: number;
  /** CPU time of the executor for this job, in milliseconds. */
  cpuTimeMs: number;
  /**
   * Peak of linear memories and in-memory file system, without the content of inputs, in bytes. If the process was
   * killed, the last sampled growth of its resident memory.
   */
  memoryPeakBytes: number;
}

/** Place of an instruction. */
export interface CallLocation {
  /** Number of the core module in a component; 0 for a core module. */
  module: number;
  /** Offset in the content of its code section, in bytes. */
  offset: number;
}

/** How a job ended in the sandbox; the status is never `rejected`. */
export interface SandboxOutcome extends JobOutcome {
  /** Resources that the job used. */
  usage: SandboxUsage;
  /**
   * Sources of nondeterminism that the job used, sorted. If the process was killed, those that it had reported before.
   */
  nondeterminism: readonly NondeterminismSource[];
  /** Instructions executed. @default {they were not counted} */
  fuel?: number | undefined;
  /**
   * Innermost calls, if the job trapped, the innermost first. `streamJob()` and `runJob()` describe them as
   * `backtrace`.
   * @default {unknown}
   */
  trace?: readonly CallLocation[] | undefined;
  /** Unix time in milliseconds. */
  startedAt: number;
  /** Unix time in milliseconds. */
  finishedAt: number;
  /** What the job created and did not return; undefined if nothing. */
  leftBehind?: LeftBehind | undefined;
}

/** An event of a job in the sandbox, which has no queue. */
export type SandboxEvent = Extract<
  JobEvent<SandboxOutcome>,
  { type: "started" | "stdout" | "stderr" | "files" | "finished" }
>;

/** Options of {@linkcode JobExecutor.run}. */
export interface JobExecutorOptions {
  /** Aborts waiting, or cancels the job. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Runs jobs, such as an `Executor`. */
export interface JobExecutor {
  /** Whether a job with this `moduleKey` runs without sending and compiling its module again. */
  hasModule(key: string): boolean;
  /** Runs a job and yields its events. Consuming slowly applies backpressure; returning early kills the job. */
  run(job: SandboxJob, options?: JobExecutorOptions): AsyncGenerator<SandboxEvent, void, void>;
}
