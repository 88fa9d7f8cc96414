/**
 * Frames between a child process and its parent: one kind byte, a little-endian u32 length and the payload.
 *
 * The frames of a job and their JSON payloads are defined here; `lib/util/framing.ts` encodes their headers.
 *
 * @module
 */
import { type ErrorCode, PlasmError } from "../../core/errors/mod.ts";
import {
  FIRST_BYTES,
  FRAME_HEADER_BYTES,
  HeadroomBuffer,
  parseFrameHeader,
  putFrameHeader,
} from "../../util/mod.ts";
import type { JobStatus, SandboxLimits } from "../job_types.ts";

export { FrameKind } from "../bootstrap/mod.ts";
export { FRAME_HEADER_BYTES, parseFrameHeader };

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
  /** Arguments after argv[0]. */
  args: string[];
  /** The whole environment. */
  env: Record<string, string>;
  /** Limits of the job. */
  limits: SandboxLimits;
  /** Guest paths in the order of their Input frames; a directory (`file: false`) has no frame. */
  inputs: { path: string; file: boolean }[];
  /** Whether memory that the process holds after this job is the baseline for later jobs. */
  isWarmUp: boolean;
}

/** Payload of the Usage frame, sent periodically so that the parent has figures if the process dies. */
export interface UsageReport {
  /** CPU time of the job, in milliseconds. */
  cpuTimeMs: number;
  /** Growth of the process's resident memory since the job started, in bytes. */
  rssGrowthBytes: number;
}

/** Payload of the Finished frame. */
export interface FinishedReport {
  /** Why the job ended. */
  status: JobStatus;
  /** The guest's exit code, if it exited. */
  exitCode: number | null;
  /** Explanation with figures, unless the guest exited. */
  message?: string;
  /** CPU time of the job, in milliseconds. */
  cpuTimeMs: number;
  /** Peak of linear memory and in-memory file system, in bytes. */
  memoryPeakBytes: number;
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

/**
 * Line that a child writes to standard error when it stops its job.
 *
 * Its output connection may be blocked by a slow reader at that moment, while a busy guest keeps the CPU.
 */
export const STOPPING_MARK = "plasm: stopping the job";

/** Maximum size of a JSON payload from the child, in bytes. */
export const MAX_REPORT_BYTES = 64 * 1024;

/** Maximum payload of a Stdout or Stderr frame, in bytes: with its header it fits a Unix socket's send buffer. */
export const MAX_STREAM_BYTES: number = FIRST_BYTES;

/** Maximum payload of a Stdin frame, in bytes; neither end buffers a whole frame. */
export const MAX_STDIN_BYTES: number = 2 ** 20;

/** Maximum payload of a Job frame, in bytes: above the manifest's own limit for arguments and environment. */
export const MAX_JOB_HEADER_BYTES = 4 * 1024 * 1024;

/** One frame. */
export interface IpcFrame {
  /** One of {@linkcode FrameKind}. */
  kind: number;
  /** Its payload, or a part of it; see {@linkcode ReadIpcFramesOptions.partial}. */
  payload: Uint8Array;
}

const encoder = new TextEncoder();

/** Encodes the header of a frame whose payload is sent separately. */
export function encodeIpcHeader(kind: number, length: number): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  putFrameHeader(header, kind, length);
  return header;
}

/** Encodes a frame. */
export function encodeIpcFrame(kind: number, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  putFrameHeader(frame, kind, payload.length);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** Encodes a frame with a JSON payload. */
export function encodeIpcJson(kind: number, value: unknown): Uint8Array {
  return encodeIpcFrame(kind, encoder.encode(JSON.stringify(value)));
}

/** Options of {@linkcode readIpcFrames}. */
export interface ReadIpcFramesOptions {
  /** Maximum payload of a kind, in bytes; a kind without a maximum is rejected. */
  maxBytes: (kind: number) => number | undefined;
  /**
   * Kinds whose payload is yielded in parts as it arrives, as views of the source's chunks.
   * @default {none}
   */
  partial?: readonly number[] | undefined;
}

/**
 * Parses a byte stream into frames.
 *
 * Payloads are copied, except those of `partial` kinds, because the source may reuse its chunks. A stream that
 * ends within a frame just ends: the exit status of the other process explains why.
 *
 * @throws {PlasmError} `executor` for a frame that is not allowed
 */
export async function* readIpcFrames(
  source: AsyncIterable<Uint8Array>,
  options: ReadIpcFramesOptions,
): AsyncGenerator<IpcFrame, void, void> {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  let headerFill = 0;
  let payload: Uint8Array | undefined;
  let payloadFill = 0;
  let kind = 0;
  /** Bytes missing of a frame that is yielded in parts. */
  let partialLeft = 0;
  for await (const chunk of source) {
    let at = 0;
    while (at < chunk.length) {
      if (partialLeft > 0) {
        const part = viewOf(chunk, at, at + partialLeft);
        partialLeft -= part.length;
        at += part.length;
        yield { kind, payload: part };
        continue;
      }
      if (payload === undefined) {
        const count = Math.min(FRAME_HEADER_BYTES - headerFill, chunk.length - at);
        header.set(chunk.subarray(at, at + count), headerFill);
        headerFill += count;
        at += count;
        if (headerFill < FRAME_HEADER_BYTES) break;
        headerFill = 0;
        const parsed = parseFrameHeader(header);
        const { length } = parsed;
        kind = parsed.kind;
        const max = options.maxBytes(kind);
        if (max === undefined || length > max) {
          throw new PlasmError(
            "executor",
            `Cannot read frame: kind ${kind} of ${length} bytes, allowed are ${max ?? "none"}`,
          );
        }
        if (length > 0 && options.partial?.includes(kind)) {
          partialLeft = length;
          continue;
        }
        if (length <= chunk.length - at) {
          yield { kind, payload: chunk.slice(at, at + length) };
          at += length;
          continue;
        }
        payload = new Uint8Array(length);
        payloadFill = 0;
      }
      const count = Math.min(payload.length - payloadFill, chunk.length - at);
      payload.set(chunk.subarray(at, at + count), payloadFill);
      payloadFill += count;
      at += count;
      if (payloadFill < payload.length) break;
      const complete = payload;
      payload = undefined;
      yield { kind, payload: complete };
    }
  }
}

/** View of a chunk that retains its headroom: the bytes in front of it, a header or headroom, have been consumed. */
function viewOf(chunk: Uint8Array, start: number, end: number): Uint8Array {
  if (!(chunk instanceof HeadroomBuffer)) return chunk.subarray(start, end);
  const { buffer, byteOffset, length } = chunk;
  return new HeadroomBuffer(buffer, byteOffset + start, Math.min(end, length) - start);
}
