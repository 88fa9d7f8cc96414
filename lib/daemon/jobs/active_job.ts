/**
 * In-memory state of a queued or running job.
 * @module
 */
import type { StdinSource } from "../../sandbox/mod.ts";
import type { JobRecord, OutputStream } from "../store/mod.ts";
import type { Ticket } from "./queue.ts";

/** Queued or running job. */
export interface ActiveJob {
  /** Queue ticket. */
  ticket: Ticket;
  /** Record at the time it was queued. */
  job: JobRecord;
  /** Time of acceptance, by performance.now(). */
  since: number;
  /** Resolves once it is stored; undefined when it already is. */
  saved: Promise<void> | undefined;
  /** Client of a piped job. */
  pipe: JobPipe | undefined;
  /** Stops it. */
  controller: AbortController;
  /** Resolves when the job finishes or is re-queued. */
  over: PromiseWithResolvers<void>;
}

/** Options of {@linkcode activeJob}. */
export type ActiveJobOptions = Partial<Pick<ActiveJob, "saved" | "pipe">>;

/** Creates the state of a queued job. */
export function activeJob(job: JobRecord, { saved, pipe }: ActiveJobOptions = {}): ActiveJob {
  const { id, submitter, priority, createdAt, manifest, target } = job;
  // A remote job uses no memory of this node.
  const memoryMb = target === null ? manifest.resources.memory_mb : 0;
  return {
    ticket: { id, submitter, priority, memoryMb, createdAt },
    job,
    // Jobs of an earlier process only have a wall-clock time, which may be in the future.
    since: performance.now() - Math.max(0, Date.now() - createdAt),
    saved,
    pipe,
    controller: new AbortController(),
    over: Promise.withResolvers(),
  };
}

/** Connection to the client of a piped job. */
export interface JobPipe {
  /** Standard input from the client. */
  readonly stdin: StdinSource;
  /** Reports the start; the client may send input from now on. */
  started(): void;
  /** Shortens the deadline for reading the remaining output because the job is being stopped. */
  hurry(): void;
  /** Sends output with backpressure. Does not fail when the client has disconnected. */
  write(stream: OutputStream, data: Uint8Array): Promise<void>;
}
