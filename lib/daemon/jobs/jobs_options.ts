/**
 * Options of `Jobs` and of what it does.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import type { Config } from "../../config/mod.ts";
import type { Signer } from "../../core/mod.ts";
import type { JobPipe } from "../job_pipe.ts";
import type { ExecutorSource, RunJob } from "./runner.ts";
import type { JobStore } from "../store/mod.ts";

/** Options of `Jobs`. */
export interface JobsOptions {
  store: JobStore;
  config: Config;
  signer: Signer;
  run: RunJob;
  executors?: ExecutorSource | undefined;
  log: Logger;
}

/** Options of `Jobs.submit()`. */
export interface SubmitJobOptions {
  /**
   * Whether the job is on the disk once this resolves. Without, it is when `Jobs.untilOver()`
   * does: for who waits for that.
   * @default {true}
   */
  durable?: boolean | undefined;
  /** Gives the job its input and takes its output, where it is submitted as piped. @default {none} */
  pipe?: JobPipe | undefined;
}

/** Options of `Jobs.untilOver()`. */
export interface UntilOverOptions {
  /** How long to wait, in milliseconds. */
  timeoutMs: number;
  /** Gives up waiting. */
  signal: AbortSignal;
}
