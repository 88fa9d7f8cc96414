/**
 * A job that waits or runs, as the daemon holds it in memory.
 * @module
 */
import type { StdinSource } from "../../sandbox/mod.ts";
import type { JobRecord, OutputStream } from "../store/mod.ts";
import type { Ticket } from "./queue.ts";

/** A job that is not over. */
export interface ActiveJob {
  /** Its place in the queue. */
  ticket: Ticket;
  /** As it was when it was put into the queue. */
  job: JobRecord;
  /** When it was accepted, by the clock that does not jump (performance.now()). */
  since: number;
  /** Resolves once it is stored; absent when it is already. */
  saved: Promise<void> | undefined;
  /** Its client, where it is piped. */
  pipe: JobPipe | undefined;
  /** Stops it. */
  controller: AbortController;
  /** Resolves when it is over, or back in the queue. */
  over: PromiseWithResolvers<void>;
}

/** Options of {@linkcode activeJob}. */
export type ActiveJobOptions = Partial<Pick<ActiveJob, "saved" | "pipe">>;

/** What is held of a job that waits from now on. */
export function activeJob(job: JobRecord, { saved, pipe }: ActiveJobOptions = {}): ActiveJob {
  const { id, submitter, priority, createdAt, manifest, target } = job;
  // What runs elsewhere uses that node's memory.
  const memoryMb = target === null ? manifest.resources.memory_mb : 0;
  return {
    ticket: { id, submitter, priority, memoryMb, createdAt },
    job,
    // What an earlier process accepted has a time of day only, which may lie in the future.
    since: performance.now() - Math.max(0, Date.now() - createdAt),
    saved,
    pipe,
    controller: new AbortController(),
    over: Promise.withResolvers(),
  };
}

/** A job's client, at the other end of a connection. */
export interface JobPipe {
  /** What the client sends. */
  readonly stdin: StdinSource;
  /** The job has started, so that the client may send. */
  started(): void;
  /** The job is being stopped: a client that does not take its rest soon does without. */
  hurry(): void;
  /** Passes output on; resolves when more may come. A client that is gone costs the job nothing here. */
  write(stream: OutputStream, data: Uint8Array): Promise<void>;
}
