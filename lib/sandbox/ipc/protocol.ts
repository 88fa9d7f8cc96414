/**
 * Defines the frames between a child process and its parent: their JSON payloads and maximum sizes.
 *
 * `lib/util/framing.ts` reads and writes them.
 *
 * @module
 */
import { type ErrorCode, PlasmError } from "../../core/errors/mod.ts";
import { buildFrame, FIRST_BYTES, type FrameHeader } from "../../util/mod.ts";
import { FrameKind } from "../bootstrap/mod.ts";
import type { Invocation } from "../../wasm/invocation/mod.ts";
import type { NondeterminismSource } from "../../core/mod.ts";
import type {
  CallLocation,
  FileInput,
  JobStatus,
  LeftBehind,
  SandboxLimits,
} from "../job_types.ts";

export { FrameKind };

/** Module of a job, as described by the Job frame. */
export interface ModuleHeader {
  /** Key under which the child caches the compiled module; `null` if it does not. */
  key: string | null;
  /** Whether the child has the module in its cache, so that no Module frame follows. */
  isCached: boolean;
  /** Size in bytes. */
  bytes: number;
  /** Keys of cached modules to evict first. */
  evict: readonly string[];
}

/**
 * Payload of the Job frame.
 *
 * A Module frame follows unless the module is cached, then a Reordered frame if announced, one Input frame for
 * each file, and standard input.
 */
export interface JobHeader {
  /** The module. */
  module: ModuleHeader;
  /** Whether a Reordered frame follows the Module frame: the same module, reordered by the parent. */
  isReordered: boolean;
  /** Name of the program, argv[0]. */
  argv0: string;
  /** Arguments after argv[0]. */
  args: string[];
  /** Function to call with the arguments; `null` for the command. */
  invocation: Invocation | null;
  /** The whole environment. */
  env: Record<string, string>;
  /** Limits of the job. */
  limits: SandboxLimits;
  /** Guest paths of the output files; that of a directory ends in a slash. */
  outputs: readonly string[];
  /** Guest paths in the order of their Input frames; a directory (`file: false`) has no frame. */
  inputs: (Pick<FileInput, "path" | "mtimeMs" | "isPreopen"> & { file: boolean })[];
  /** Parameters of the deterministic profile; `null` in the default profile. */
  deterministic: DeterministicHeader | null;
  /** Whether memory that the process holds after this job is the baseline for later jobs. */
  isWarmUp: boolean;
}

/** Parameters of the deterministic profile, as JSON. */
export interface DeterministicHeader {
  /** Seed of the random numbers, 64 hex digits. */
  seed: string;
  /** Unix time at the start of the job, in milliseconds. */
  epochMs: number;
}

/** Payload of the Usage frame, sent periodically so that the parent has figures if the process dies. */
export interface UsageReport {
  /** CPU time of the job, in milliseconds. */
  cpuTimeMs: number;
  /** Growth of the process's resident memory since the job started, in bytes. */
  rssGrowthBytes: number;
  /** Sources of nondeterminism that the job has used, sorted. */
  nondeterminism: NondeterminismSource[];
}

/** Payload of the Finished frame. */
export interface FinishedReport {
  /** Why the job ended. */
  status: JobStatus;
  /** The guest's exit code, if it exited. */
  exitCode: number | null;
  /** Explanation with figures; of a guest that exited, if its file system was full. */
  message?: string;
  /** The guest's frames, innermost first, if it trapped. */
  trace?: CallLocation[] | undefined;
  /** CPU time of the job, in milliseconds. */
  cpuTimeMs: number;
  /** Peak of linear memory and in-memory file system, in bytes. */
  memoryPeakBytes: number;
  /** Sources of nondeterminism that the job has used, sorted. */
  nondeterminism: NondeterminismSource[];
  /** What the job created and did not return. */
  leftBehind?: LeftBehind | undefined;
  /** Instructions executed, if they were counted and do not depend on the machine. */
  fuel?: number | undefined;
  /** Whether the process can run another job. */
  reusable: boolean;
}

/** Payload of the Refused frame: the job did not start. */
export interface RefusedReport {
  /** Code of the error. */
  code: ErrorCode;
  /** Message of the error. */
  message: string;
  /** Whether the process can run another job. */
  reusable: boolean;
}

/** Message for a module that V8 does not compile; the parent's check and the child report the same. */
export function compileErrorMessage(error: unknown): string {
  const reason = error instanceof Error ? error.message : String(error);
  return `Cannot compile module: ${reason.replace(/^WebAssembly\.compile\(\): /, "")}`;
}

/** Shortest time that the reader of the output files has, in milliseconds; a job with a longer limit has that. */
const MIN_COLLECTION_MS = 60_000;

/** Time that the reader of the output files has after the guest's end, in milliseconds. */
export function collectionLimitMs({ wallTimeMs }: SandboxLimits): number {
  return Math.max(MIN_COLLECTION_MS, wallTimeMs);
}

/** Message for a reader of the output files that was too slow. */
export function describeSlowCollection(limitMs: number): string {
  return `Job stopped: its output files were not read within ${limitMs} ms`;
}

/**
 * Line that a child writes to standard error when it stops its job.
 *
 * Its output connection may be blocked by a slow reader at that moment, while a busy guest uses the CPU.
 */
export const STOPPING_MARK = "plasm: stopping the job";

/** Maximum size of a JSON payload from the child, in bytes. */
export const MAX_REPORT_BYTES = 64 * 1024;

/** Maximum payload of a Stdout, Stderr or Files frame, in bytes: with its header it fits a Unix socket's send buffer. */
export const MAX_STREAM_BYTES: number = FIRST_BYTES;

/** Maximum payload of a Stdin frame, in bytes; neither end buffers a whole frame. */
export const MAX_STDIN_BYTES: number = 2 ** 20;

/** Maximum payload of a Job frame, in bytes: above the manifest's own limit for arguments and environment. */
export const MAX_JOB_HEADER_BYTES = 8 * 1024 * 1024;

/** One frame. */
export interface IpcFrame {
  /** One of {@linkcode FrameKind}. */
  kind: number;
  /** Its payload; a part of it if the kind is Stdout, Stderr or Files. */
  payload: Uint8Array;
}

const encoder = new TextEncoder();

/** Encodes a frame with a JSON payload. */
export function encodeIpcJson(kind: number, value: unknown): Uint8Array {
  return buildFrame(kind, encoder.encode(JSON.stringify(value)));
}

/** Maximum payload of a Module or Input frame, in bytes; the parent enforces the job's own limits. */
const MAX_BLOB_BYTES = 2 ** 31 - 1;

/** Maximum payload by kind, in bytes, of the frames that a parent may send. */
export const PARENT_FRAMES: Readonly<Record<number, number>> = {
  [FrameKind.Job]: MAX_JOB_HEADER_BYTES,
  [FrameKind.Module]: MAX_BLOB_BYTES,
  [FrameKind.Reordered]: MAX_BLOB_BYTES,
  [FrameKind.Input]: MAX_BLOB_BYTES,
  [FrameKind.Stdin]: MAX_STDIN_BYTES,
  [FrameKind.StdinEnd]: 0,
};

/** Maximum payload by kind, in bytes, of the frames that a child may send. */
export const CHILD_FRAMES: Readonly<Record<number, number>> = {
  [FrameKind.Alive]: 0,
  [FrameKind.Ready]: 0,
  [FrameKind.Stdout]: MAX_STREAM_BYTES,
  [FrameKind.Stderr]: MAX_STREAM_BYTES,
  [FrameKind.Files]: MAX_STREAM_BYTES,
  [FrameKind.Usage]: MAX_REPORT_BYTES,
  [FrameKind.Finished]: MAX_REPORT_BYTES,
  [FrameKind.Refused]: MAX_REPORT_BYTES,
};

/**
 * Checks the header of a frame before its payload is read.
 *
 * @throws {PlasmError} `executor` if the kind is not allowed or the payload is too long
 */
export function checkIpcHeader(
  { kind, length }: FrameHeader,
  allowed: Readonly<Record<number, number>>,
): void {
  const max = allowed[kind];
  if (max !== undefined && length <= max) return;
  throw new PlasmError(
    "executor",
    `Cannot read frame: kind ${kind} of ${length} bytes, allowed are ${max ?? "none"}`,
  );
}
