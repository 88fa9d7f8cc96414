/**
 * Shared-memory mailbox through which the child's main thread sends jobs to its worker and receives their results.
 *
 * Both threads can block on it and wake each other at once, while a posted message costs a structured clone and
 * a turn of each event loop.
 *
 * @module
 */
import { type ErrorCode, PlasmError } from "../../core/errors/mod.ts";
import type { FileInput, SandboxLimits } from "../job_types.ts";
import type { RingBuffers } from "./ring.ts";

// Indices into the control words.
/** Incremented with each request. */
const REQUESTS = 0;
/** Kind of the last request: 0 is a job in the mailbox, 1 a posted message. */
const IS_MESSAGE = 1;
const JOB_BYTES = 2;
/** Incremented with each result. */
const RESULTS = 3;
const RESULT_BYTES = 4;
const CONTROL_WORDS = 5;

/** Capacity for a job's header, in bytes; a job with longer arguments or environment is posted as a message. */
const MAX_JOB_BYTES = 16 * 1024;

/** Maximum length of an exit's reason, in characters: engines and modules produce names of any length. */
const MAX_REASON_CHARS = 2000;

/** Capacity for a result, in bytes: JSON needs up to six bytes for a character of the reason. */
const MAX_RESULT_BYTES = 16 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A job posted to the worker as a message. */
export interface WorkerJob {
  /** The compiled module. */
  module: WebAssembly.Module;
  /** Arguments after argv[0]. */
  args: string[];
  /** The whole environment. */
  env: Record<string, string>;
  /** Files and directories of the guest's tree. */
  inputs: FileInput[];
  /** Limits that the WASI implementation enforces. */
  limits: SandboxLimits;
  /** Ring of standard input. */
  stdin: RingBuffers;
  /** Ring of standard output and standard error. */
  output: RingBuffers;
  /** Key under which the worker stores the module for jobs in the mailbox; `null` if it does not. */
  key: string | null;
  /** Keys of stored modules to release first. */
  evict: readonly string[];
  /** Mailbox of the worker. */
  mailbox: MailboxBuffers;
}

/** A job in the mailbox, as JSON: the part of the Job frame's `JobHeader` that concerns the guest. */
export interface MailboxJob extends Pick<WorkerJob, "args" | "env" | "limits"> {
  /** Module that an earlier message has stored. */
  module: { key: string };
}

/** How a guest ended. */
export type GuestExit =
  | { type: "exited"; exitCode: number }
  | { type: "trapped"; reason: string }
  | { type: "memory"; reason: string }
  | { type: "output" }
  | { type: "refused"; code: ErrorCode; reason: string };

/** Result of a job in the worker. */
export interface WorkerResult {
  /** How the guest ended. */
  exit: GuestExit;
  /** Peak of linear memory and in-memory file system, in bytes. */
  memoryPeakBytes: number;
}

/** Shared buffers of a mailbox, as they are posted to the worker. */
export interface MailboxBuffers {
  /** Control words. */
  control: SharedArrayBuffer;
  /** Bytes of the job. */
  job: SharedArrayBuffer;
  /** Bytes of the result. */
  result: SharedArrayBuffer;
}

/** Allocates the shared memory of a mailbox. */
export function createMailbox(): MailboxBuffers {
  return {
    control: new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT),
    job: new SharedArrayBuffer(MAX_JOB_BYTES),
    result: new SharedArrayBuffer(MAX_RESULT_BYTES),
  };
}

/** Main thread's end. Bytes that the worker writes are validated: the guest may control it. */
export class MailboxSender {
  readonly #control: Int32Array;
  readonly #job: Uint8Array;
  readonly #result: Uint8Array;
  /** Value of RESULTS when the last result was read. */
  #results = 0;

  /** Attaches to shared buffers. */
  constructor(buffers: MailboxBuffers) {
    this.#control = new Int32Array(buffers.control);
    this.#job = new Uint8Array(buffers.job);
    this.#result = new Uint8Array(buffers.result);
  }

  /** Sends a job to a worker that blocks on the mailbox; returns `false` if the job does not fit. */
  sendJob(job: Uint8Array): boolean {
    if (job.length > this.#job.length) return false;
    this.#job.set(job);
    Atomics.store(this.#control, JOB_BYTES, job.length);
    this.#request(0);
    return true;
  }

  /** Wakes a worker that blocks on the mailbox, so that it reads the message posted to it. */
  announceMessage(): void {
    this.#request(1);
  }

  #request(isMessage: number): void {
    Atomics.store(this.#control, IS_MESSAGE, isMessage);
    Atomics.add(this.#control, REQUESTS, 1);
    Atomics.notify(this.#control, REQUESTS);
  }

  /** Blocks the thread until a result arrives or the timeout expires, in ms; returns whether a result arrived. */
  waitSync(timeoutMs: number): boolean {
    if (!this.hasResult) Atomics.wait(this.#control, RESULTS, this.#results, timeoutMs);
    return this.hasResult;
  }

  /** Waits for the result. */
  async wait(): Promise<void> {
    while (!this.hasResult) {
      const waiting = Atomics.waitAsync(this.#control, RESULTS, this.#results);
      if (waiting.async) await waiting.value;
    }
  }

  /** Whether the last job has a result. */
  get hasResult(): boolean {
    return Atomics.load(this.#control, RESULTS) !== this.#results;
  }

  /**
   * Reads the result of the last job.
   *
   * @throws {PlasmError} `executor` if the worker has written anything else
   */
  readResult(): WorkerResult {
    this.#results = Atomics.load(this.#control, RESULTS);
    const bytes = this.#result.slice(0, Atomics.load(this.#control, RESULT_BYTES) >>> 0);
    try {
      const { exit, memoryPeakBytes } = JSON.parse(decoder.decode(bytes));
      if (typeof exit.type === "string") return { exit, memoryPeakBytes };
    } catch {
      // Malformed JSON is reported below.
    }
    throw new PlasmError("executor", "Cannot read result of worker: malformed");
  }
}

/** Worker's end. */
export class MailboxReceiver {
  readonly #control: Int32Array;
  readonly #job: Uint8Array;
  readonly #result: Uint8Array;
  /** Value of REQUESTS when the last request was received. */
  #requests = 0;

  /** Attaches to shared buffers, before the first request. */
  constructor(buffers: MailboxBuffers) {
    this.#control = new Int32Array(buffers.control);
    this.#job = new Uint8Array(buffers.job);
    this.#result = new Uint8Array(buffers.result);
  }

  /** Blocks the thread until a request arrives; returns the job, or `undefined` if a message was posted. */
  receive(): Uint8Array | undefined {
    Atomics.wait(this.#control, REQUESTS, this.#requests);
    this.#requests = Atomics.load(this.#control, REQUESTS);
    if (Atomics.load(this.#control, IS_MESSAGE) === 1) return undefined;
    return this.#job.slice(0, Atomics.load(this.#control, JOB_BYTES));
  }

  /** Writes the result; the main thread reads it after {@linkcode MailboxReceiver.publishResult}. */
  writeResult({ exit, memoryPeakBytes }: WorkerResult): void {
    const bytes = encoder.encode(JSON.stringify({ exit: truncateReason(exit), memoryPeakBytes }));
    this.#result.set(bytes);
    Atomics.store(this.#control, RESULT_BYTES, bytes.length);
  }

  /** Makes the result visible to the main thread; the worker must not touch the job afterwards. */
  publishResult(): void {
    Atomics.add(this.#control, RESULTS, 1);
    Atomics.notify(this.#control, RESULTS);
  }
}

function truncateReason(exit: GuestExit): GuestExit {
  return "reason" in exit ? { ...exit, reason: exit.reason.slice(0, MAX_REASON_CHARS) } : exit;
}
