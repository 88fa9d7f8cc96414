/**
 * Defines the events of a job: one shape for local, daemon and remote jobs.
 *
 * @module
 */
import type { PlasmError } from "./errors/mod.ts";
import type { JobStatus, Receipt } from "./types.gen.ts";

/** One call on the stack of a job that trapped. What the module's debug information lacks is null. */
export interface StackFrame {
  /** Offset of the instruction in the file of the module or component, in bytes. */
  offset: number;
  /** Number of the core module in the component, in the order of the file; absent for a core module. */
  module?: number | undefined;
  /** Index of the function, counting imported ones. */
  function: number | null;
  /** Demangled name of the function, escaped. */
  name: string | null;
  /** Source file, escaped. */
  file: string | null;
  /** Line in the file, from 1. */
  line: number | null;
  /** Column in the line, from 1. */
  column: number | null;
}

/** Most frames of a stack: the innermost ones. */
export const MAX_STACK_FRAMES = 20;

/** How a job ended. */
export interface JobOutcome {
  /** Why the job ended. */
  status: JobStatus;
  /** The job's exit code if `status` is `exited`, else null. */
  exitCode: number | null;
  /** Human-readable reason with figures if `status` is not `exited`. */
  message?: string | undefined;
  /** The innermost calls of a job that trapped, the innermost first. It is no part of the claim. @default {unknown} */
  backtrace?: readonly StackFrame[] | undefined;
  /** Files that the job created and did not return; undefined if there are none. The receipt does not name them. */
  leftBehind?: {
    /** Names in the root, as far as they fit. */
    entries: { path: string; bytes: number; kind: "file" | "directory" | "link" }[];
    /** Number of further entries. */
    more: number;
  } | undefined;
}

/**
 * An event of a job. Events arrive in this order: `queued` (again when the position changes), `started`, any output, `finished`.
 * A job that starts at once emits no `queued`. A job without a result has no `finished`: its source throws the error.
 *
 * A job on another node also emits `connecting`, `offering`, `sending` and `verifying`, for each node that it is tried on.
 */
export type JobEvent<Outcome extends JobOutcome = JobOutcome> =
  & {
    /** Number of the event in the job's event log; undefined if the source has no log. */
    id?: number | undefined;
    /** Unix time in milliseconds; undefined if the source does not report it. */
    at?: number | undefined;
    /** Peer id of the node that runs the job; undefined for this node or its daemon. */
    peerId?: string | undefined;
  }
  & (
    | {
      type: "queued";
      /** The job's id. */
      jobId: string;
      /** Number of jobs that start earlier; undefined if the source does not report it. */
      position?: number | undefined;
    }
    | {
      type: "started";
      /** Start time, Unix time in milliseconds. */
      at: number;
      /** 1 for the first run, higher after a crash of the node; undefined if the source does not count runs. */
      attempt?: number | undefined;
    }
    | {
      /** `files` follow all output if the manifest has `outputs`: parts of the archive that `OutputFilesReader` reads. */
      type: "stdout" | "stderr" | "files";
      /** The bytes written, or bytes of a tar archive. */
      data: Uint8Array;
    }
    /** The node stopped while the job ran. The job runs again: discard the output received so far. */
    | { type: "interrupted" }
    | {
      type: "finished";
      /** How the job ended. */
      outcome: Outcome;
      /** The verified receipt; undefined if the source has none. */
      receipt?: Receipt | undefined;
    }
    /** Connects to the node; offers the job to it; verifies the receipt and the output that it returned. */
    | { type: "connecting" | "offering" | "verifying" }
    | {
      type: "sending";
      /** Bytes of module and inputs sent. */
      sent: number;
      /** Bytes to send: content that the node lacks. */
      total: number;
    }
    | {
      type: "reconnecting";
      /** Why the connection was lost. */
      reason: string;
    }
    | {
      type: "attempt-failed";
      /** Why the job failed on this node. It may be tried on another. */
      error: PlasmError;
    }
  );
