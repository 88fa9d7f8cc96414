/**
 * Defines the stored form of jobs and their events.
 * @module
 */
import type { JobPriority, JobState, JobTarget, OutputStream } from "../../api/mod.ts";
import type { PlasmErrorJson } from "../../core/errors/mod.ts";
import type { Manifest, Receipt } from "../../core/mod.ts";
import type { Ceilings, JobStatus } from "../../sandbox/mod.ts";

export type { JobPriority, JobState, JobTarget, OutputStream };

/** Final states of a job. */
export const FINAL_STATES: readonly JobState[] = ["finished", "failed", "interrupted"];

/** Stored job. Times are Unix milliseconds. */
export interface JobRecord {
  /** Order of acceptance; internal. */
  seq: number;
  id: string;
  /** `local`, `local:<label>`, or `peer:<peer id>`. */
  submitter: string;
  state: JobState;
  /** How the job ended, once `finished`. */
  status: JobStatus | null;
  exitCode: number | null;
  /** Human-readable reason when the job did not exit normally. */
  message: string | null;
  /** Why the job has no result, once `failed` or `interrupted`. */
  error: PlasmErrorJson | null;
  /** Accepted manifest. */
  manifest: Manifest;
  manifestHash: string;
  nonce: string;
  moduleHash: string;
  stdinHash: string | null;
  /** Small standard input of an unfinished job; null when it is a blob of `stdinHash`, or empty. */
  stdin: Uint8Array | null;
  priority: JobPriority;
  idempotent: boolean;
  /** Whether output is streamed to the client of a piped run and not stored. */
  piped: boolean;
  /** Ceilings at acceptance. */
  ceilings: Ceilings;
  /** Remote target; null for a local run. */
  target: JobTarget | null;
  /** Peer whose receipt was verified; null for this node or before the run. */
  peer: string | null;
  /** Number of starts. */
  attempts: number;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  stdoutBytes: number;
  stderrBytes: number;
  receipt: Receipt | null;
}

/** Fields of a job at acceptance. */
export type NewJob =
  & Pick<
    JobRecord,
    | "id"
    | "submitter"
    | "manifest"
    | "manifestHash"
    | "nonce"
    | "moduleHash"
    | "stdinHash"
    | "priority"
    | "idempotent"
    | "ceilings"
    | "createdAt"
  >
  & {
    /** Whether output is not stored. @default {false} */
    piped?: boolean | undefined;
    /** Remote target. @default {a local run} */
    target?: JobTarget | undefined;
    /** Standard input stored with the job. @default {a blob of stdinHash} */
    stdin?: Uint8Array | undefined;
  };

/** Stored event. The ids of a job's events increase from 1, with gaps. */
export type RecordedEvent =
  & { id: number; at: number }
  & (
    | { type: "queued"; position: number }
    | { type: "started"; attempt: number }
    | { type: OutputStream; offset: number; data: Uint8Array }
    /** The node stopped while the job ran; with `rerun` the job runs again and earlier output is void. */
    | { type: "interrupted"; rerun: boolean }
    | { type: "finished"; status: JobStatus; exitCode: number | null; message: string | null }
    | { type: "failed"; error: PlasmErrorJson }
  );

/** Creates the record of an accepted job; `seq` is 0 until it is stored. */
export function newRecord(job: NewJob): JobRecord {
  return {
    ...job,
    seq: 0,
    state: "queued",
    status: null,
    exitCode: null,
    message: null,
    error: null,
    stdin: job.stdin ?? null,
    piped: job.piped ?? false,
    target: job.target ?? null,
    peer: null,
    attempts: 0,
    startedAt: null,
    finishedAt: null,
    stdoutBytes: 0,
    stderrBytes: 0,
    receipt: null,
  };
}

type WithoutId<E> = E extends unknown ? Omit<E, "id"> : never;

/** Event without an id; `length` replaces `data` when the bytes are in a spill file. */
export type NewEvent =
  | WithoutId<RecordedEvent>
  | { type: OutputStream; at: number; offset: number; length: number };
