/**
 * Jobs as the daemon keeps and tells them.
 * @module
 */
import type { JobPriority, JobState, JobTarget, OutputStream } from "../../api/mod.ts";
import type { PlasmErrorJson } from "../../core/errors/mod.ts";
import type { Manifest, Receipt } from "../../core/mod.ts";
import type { Ceilings, JobStatus } from "../../sandbox/mod.ts";

export type { JobPriority, JobState, JobTarget, OutputStream };

/** States that a job does not leave. */
export const FINAL_STATES: readonly JobState[] = ["finished", "failed", "interrupted"];

/** A job as it is stored. Times are Unix milliseconds. */
export interface JobRecord {
  /** Order of acceptance, without gaps of meaning; never told outside. */
  seq: number;
  id: string;
  /** `local`, `local:<label>`, or `peer:<peer id>`. */
  submitter: string;
  state: JobState;
  /** How the job ended, once `finished`. */
  status: JobStatus | null;
  exitCode: number | null;
  /** For people: what stopped the job, where it did not simply exit. */
  message: string | null;
  /** Why the job has no result, once `failed` or `interrupted`. */
  error: PlasmErrorJson | null;
  /** The manifest as it was accepted. */
  manifest: Manifest;
  manifestHash: string;
  nonce: string;
  moduleHash: string;
  stdinHash: string | null;
  /** Small standard input, while the job is not over; null: it is an input of its hash, or empty. */
  stdin: Uint8Array | null;
  priority: JobPriority;
  idempotent: boolean;
  /** Whether its client is given its output as it comes, and nobody else: it is not kept. */
  piped: boolean;
  /** The most it could ask for when it was accepted. */
  ceilings: Ceilings;
  /** Where else it runs; null: here. */
  target: JobTarget | null;
  /** The other node that ran it, as its receipt was verified against; null: this one, or none yet. */
  peer: string | null;
  /** How often the job was started. */
  attempts: number;
  createdAt: number;
  startedAt: number | null;
  finishedAt: number | null;
  stdoutBytes: number;
  stderrBytes: number;
  receipt: Receipt | null;
}

/** What is known of a job when it is accepted. */
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
    /** Whether its output is not kept. @default {false} */
    piped?: boolean | undefined;
    /** Where else it runs. @default {here} */
    target?: JobTarget | undefined;
    /** Standard input that is kept with the job. @default {among the inputs, by its hash} */
    stdin?: Uint8Array | undefined;
  };

/** What happens to a job, as it is stored. Ids of one job's events rise from 1, with gaps. */
export type RecordedEvent =
  & { id: number; at: number }
  & (
    | { type: "queued"; position: number }
    | { type: "started"; attempt: number }
    | { type: OutputStream; offset: number; data: Uint8Array }
    /** The node stopped while the job ran; `rerun` says that it runs again: forget its output. */
    | { type: "interrupted"; rerun: boolean }
    | { type: "finished"; status: JobStatus; exitCode: number | null; message: string | null }
    | { type: "failed"; error: PlasmErrorJson }
  );

/** What reading it back would give, but for its seq, which is 0 until it is stored. */
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

/** An event before it has its id; `length` in place of `data` when the bytes are in a file. */
export type NewEvent =
  | WithoutId<RecordedEvent>
  | { type: OutputStream; at: number; offset: number; length: number };
