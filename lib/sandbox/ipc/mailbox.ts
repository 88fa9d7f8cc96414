/**
 * Passes jobs from the child's main thread to its worker, and results back, through a mailbox in shared memory.
 *
 * Both threads can block on it and wake each other at once, while a posted message costs a structured clone and
 * a turn of each event loop.
 *
 * @module
 */
import { type ErrorCode, PlasmError } from "../../core/errors/mod.ts";
import type { NondeterminismSource } from "../../core/mod.ts";
import type { Invocation } from "../../wasm/invocation/mod.ts";
import type { ComponentPlan } from "../../wasm/component/mod.ts";
import type { CallLocation, FileInput, LeftBehind, SandboxLimits } from "../job_types.ts";
import type { DeterministicHeader } from "./protocol.ts";
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
/** Bits of the sources of nondeterminism that the guest has used, which are known even while it runs. */
const SOURCES = 5;
/** 1 if the main thread asks the guest to stop at its next call. */
const STOP = 6;
const CONTROL_WORDS = 7;

/** Sources by their bit, sorted. */
const SOURCE_BITS: readonly NondeterminismSource[] = ["clock", "poll", "random"];

/** Capacity for a job's header, in bytes; a job with longer arguments or environment is posted as a message. */
const MAX_JOB_BYTES = 16 * 1024;

/** Frames that V8 captures of a stack: the guest's innermost ones and those of the runtime that it has called. */
export const CAPTURED_FRAMES = 32;

/** Maximum length of an exit's reason, in characters: engines and modules produce names of any length. */
const MAX_REASON_CHARS = 2000;

/** Capacity for a result, in bytes: JSON needs up to six bytes for a character of the reason and of left-behind paths. */
const MAX_RESULT_BYTES = 48 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** A job posted to the worker as a message. */
export interface WorkerJob {
  /** What to run. */
  module: GuestCode;
  /** Name of the program, argv[0]. */
  argv0: string;
  /** Arguments after argv[0]. */
  args: string[];
  /** Function to call with the arguments; `null` for the command. */
  invocation: Invocation | null;
  /** The whole environment. */
  env: Record<string, string>;
  /** Files and directories of the guest's tree; with outputs their content is in shared memory. */
  inputs: FileInput[];
  /** Limits that the WASI implementation enforces. */
  limits: SandboxLimits;
  /** Guest paths of the output files. */
  outputs: readonly string[];
  /** Parameters of the deterministic profile; `null` in the default profile. */
  deterministic: DeterministicHeader | null;
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

/** A compiled module, or the compiled core modules of a component with the plan by which it is instantiated. */
export type GuestCode = WebAssembly.Module | GuestComponent;

/** A compiled component. */
export interface GuestComponent {
  /** Core modules. */
  modules: WebAssembly.Module[];
  /** How they are instantiated. */
  plan: ComponentPlan;
}

/** A job in the mailbox, as JSON: the part of the Job frame's `JobHeader` that concerns the guest. */
export interface MailboxJob extends
  Pick<
    WorkerJob,
    "argv0" | "args" | "invocation" | "env" | "limits" | "outputs" | "deterministic"
  > {
  /** Module that an earlier message has stored. */
  module: { key: string };
}

/** How a guest ended. */
export type GuestExit =
  | { type: "exited"; exitCode: number }
  /** `trace` has the guest's frames, innermost first; their offsets are in the compiled core module. */
  | { type: "trapped"; reason: string; trace?: CallLocation[] }
  | { type: "memory"; reason: string }
  | { type: "output" }
  | { type: "fuel" }
  | { type: "output-files"; reason: string }
  | { type: "stopped" }
  | { type: "refused"; code: ErrorCode; reason: string };

/** Result of a job in the worker. */
export interface WorkerResult {
  /** How the guest ended. */
  exit: GuestExit;
  /** Peak of linear memory and in-memory file system, in bytes. */
  memoryPeakBytes: number;
  /** What the guest created and did not return. */
  leftBehind?: LeftBehind | undefined;
  /** Instructions executed, if they were counted and do not depend on the machine. */
  fuel?: number | undefined;
  /** Whether a call failed because the file system was full. */
  wasFull?: boolean | undefined;
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

  /** Clears the sources of nondeterminism, before a job. */
  clearSources(): void {
    Atomics.store(this.#control, SOURCES, 0);
  }

  /** Sources of nondeterminism that the job has used so far, sorted. */
  get sources(): NondeterminismSource[] {
    const bits = Atomics.load(this.#control, SOURCES);
    return SOURCE_BITS.filter((_, bit) => (bits & (1 << bit)) !== 0);
  }

  /** Asks the guest to stop at its next call; a call that sleeps ends. */
  requestStop(): void {
    Atomics.store(this.#control, STOP, 1);
    Atomics.notify(this.#control, STOP);
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
      const { exit, ...result } = JSON.parse(decoder.decode(bytes));
      const { memoryPeakBytes, leftBehind, fuel, wasFull } = result;
      if (typeof exit.type === "string") {
        return { exit, memoryPeakBytes, leftBehind, fuel, wasFull };
      }
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

  /** Records that the guest uses a source of nondeterminism. */
  recordSource(source: NondeterminismSource): void {
    Atomics.or(this.#control, SOURCES, 1 << SOURCE_BITS.indexOf(source));
  }

  /** Whether the main thread asks the guest to stop. */
  get isStopRequested(): boolean {
    return Atomics.load(this.#control, STOP) === 1;
  }

  /** Blocks the thread for a time in milliseconds, or until the guest must stop. */
  sleep(ms: number): void {
    Atomics.wait(this.#control, STOP, 0, ms);
  }

  /** Writes the result; the main thread reads it after {@linkcode MailboxReceiver.publishResult}. */
  writeResult(result: WorkerResult): void {
    const exit = truncateReason(result.exit);
    const bytes = encoder.encode(JSON.stringify({ ...result, exit }));
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
