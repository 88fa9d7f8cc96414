/**
 * What an executor and its parent tell each other besides bytes; the JSON of the Job, Usage,
 * Finished and Refused frames.
 * @module
 */
import type { ErrorCode } from "../../core/errors/mod.ts";
import { FIRST_BYTES } from "../../util/mod.ts";
import type { JobStatus, SandboxLimits } from "../job_types.ts";

/** The module of a job, as the Job frame names it. */
export interface ModuleHeader {
  /** By what the compiled module is kept for later jobs of this executor; null: it is not. */
  key: string | null;
  /** Whether it was kept by an earlier job, so that no Module frame follows. */
  isKept: boolean;
  /** Its size, in bytes. */
  bytes: number;
  /** Keys of modules to let go of first. */
  forget: readonly string[];
}

/**
 * The Job frame: what follows it is one Module frame unless the module was kept, one Reordered frame
 * where it says so, one Input frame for each file, then Stdin.
 */
export interface JobHeader {
  module: ModuleHeader;
  /** Whether a Reordered frame follows the Module frame: the same module, reordered by the parent. */
  isReordered: boolean;
  args: string[];
  env: Record<string, string>;
  limits: SandboxLimits;
  /** Guest paths in the order of their Input frames; `file` false is a directory without a frame. */
  inputs: { path: string; file: boolean }[];
  /** Whether what the process holds after it is where the count of what jobs leave begins. */
  isWarmUp: boolean;
}

/** The Usage frame: sent now and then, so that the parent knows it if the process dies. */
export interface UsageReport {
  cpuTimeMs: number;
  /** Growth of the process's resident memory since the job began. */
  rssGrowthBytes: number;
}

/** The Finished frame. */
export interface FinishedReport {
  status: JobStatus;
  exitCode: number | null;
  message?: string;
  cpuTimeMs: number;
  memoryPeakBytes: number;
  /** Whether the process can take another job. */
  reusable: boolean;
}

/** The Refused frame: the job never began. */
export interface RefusedReport {
  code: ErrorCode;
  message: string;
  /** Whether the process can take another job. */
  reusable: boolean;
}

/**
 * What an executor says on its stderr before its last words: its stdout may be full because nobody
 * pulls, and until it has got rid of its output a guest that spins goes on.
 */
export const STOPPING_MARK = "plasm: stopping the job";

/** Largest JSON frame from an executor, in bytes: figures and one message. */
export const MAX_REPORT_BYTES = 64 * 1024;

/**
 * Largest payload of a stdout or stderr frame, in bytes: with its header what a unix socket takes at once.
 */
export const MAX_STREAM_BYTES: number = FIRST_BYTES;

/** Largest payload of a stdin frame, in bytes: neither end holds one whole. */
export const MAX_STDIN_BYTES: number = 2 ** 20;

/** Largest Job frame, in bytes: above the manifest's own cap for arguments and environment. */
export const MAX_JOB_HEADER_BYTES = 4 * 1024 * 1024;
