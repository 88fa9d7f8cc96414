/**
 * Shared memory in which the main thread of an executor gives its worker a job and learns how it ended.
 * Either thread may block on it, and is woken by the other at once: a message costs both a copy of all
 * that it holds, and a turn of their event loops.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { WorkerEnd, WorkerResult } from "../worker/mod.ts";

// Indices into the control words.
/** Grows with every job and every call. */
const ASKED = 0;
/** What the last of them was: a job in the slot, or a message that is to be read. */
const BY_MESSAGE = 1;
const JOB_BYTES = 2;
/** Grows with every end. */
const ENDED = 3;
const END_BYTES = 4;
const CONTROL_WORDS = 5;

/** Bytes of a job's header that fit: one with more in its arguments and environment goes as a message. */
const MAX_JOB_BYTES = 16 * 1024;

/** Characters of the reason why a job ended: engines and modules give names of any length. */
const MAX_REASON_CHARS = 2000;

/** Bytes of an end: its reason, of which JSON may make six bytes a character, and figures. */
const MAX_END_BYTES = 16 * 1024;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The shared buffers of a slot, as they are posted to the worker. */
export interface MailboxBuffers {
  control: SharedArrayBuffer;
  job: SharedArrayBuffer;
  end: SharedArrayBuffer;
}

/** Makes the shared memory of a slot. */
export function createMailbox(): MailboxBuffers {
  return {
    control: new SharedArrayBuffer(CONTROL_WORDS * Int32Array.BYTES_PER_ELEMENT),
    job: new SharedArrayBuffer(MAX_JOB_BYTES),
    end: new SharedArrayBuffer(MAX_END_BYTES),
  };
}

/** The main thread's side. What the worker writes is not trusted. */
export class MailboxSender {
  readonly #control: Int32Array;
  readonly #job: Uint8Array;
  readonly #end: Uint8Array;
  #ends = 0;

  constructor(buffers: MailboxBuffers) {
    this.#control = new Int32Array(buffers.control);
    this.#job = new Uint8Array(buffers.job);
    this.#end = new Uint8Array(buffers.end);
  }

  /** Gives a job as bytes to a worker that waits for one, if they fit. */
  give(job: Uint8Array): boolean {
    if (job.length > this.#job.length) return false;
    this.#job.set(job);
    Atomics.store(this.#control, JOB_BYTES, job.length);
    this.#ask(0);
    return true;
  }

  /** Has a worker that waits for a job read the message that it is sent. */
  call(): void {
    this.#ask(1);
  }

  #ask(byMessage: number): void {
    Atomics.store(this.#control, BY_MESSAGE, byMessage);
    Atomics.add(this.#control, ASKED, 1);
    Atomics.notify(this.#control, ASKED);
  }

  /** Blocks the thread until the job has ended, for so many milliseconds at most; whether it has. */
  waitSync(ms: number): boolean {
    if (!this.hasEnded) Atomics.wait(this.#control, ENDED, this.#ends, ms);
    return this.hasEnded;
  }

  /** Awaits the job's end. */
  async wait(): Promise<void> {
    while (!this.hasEnded) {
      const waiting = Atomics.waitAsync(this.#control, ENDED, this.#ends);
      if (waiting.async) await waiting.value;
    }
  }

  /** Whether the job that was given last has ended. */
  get hasEnded(): boolean {
    return Atomics.load(this.#control, ENDED) !== this.#ends;
  }

  /**
   * How the job ended, once it has.
   *
   * @throws {PlasmError} `executor` when the worker wrote something else
   */
  takeEnd(): WorkerResult {
    this.#ends = Atomics.load(this.#control, ENDED);
    const bytes = this.#end.slice(0, Atomics.load(this.#control, END_BYTES) >>> 0);
    try {
      const { end, memoryPeakBytes } = JSON.parse(decoder.decode(bytes));
      if (typeof end.type === "string") return { end, memoryPeakBytes };
    } catch {
      // Said below.
    }
    throw new PlasmError("executor", "Cannot trust worker: it did not say how the job ended");
  }
}

/** The worker's side. */
export class MailboxReceiver {
  readonly #control: Int32Array;
  readonly #job: Uint8Array;
  readonly #end: Uint8Array;
  #asked: number;

  /** For a worker that has just been sent its first message. */
  constructor(buffers: MailboxBuffers) {
    this.#control = new Int32Array(buffers.control);
    this.#job = new Uint8Array(buffers.job);
    this.#end = new Uint8Array(buffers.end);
    this.#asked = 0;
  }

  /** Blocks the thread until there is a job, as bytes; undefined: there is a message. */
  take(): Uint8Array | undefined {
    Atomics.wait(this.#control, ASKED, this.#asked);
    this.#asked = Atomics.load(this.#control, ASKED);
    if (Atomics.load(this.#control, BY_MESSAGE) === 1) return undefined;
    return this.#job.slice(0, Atomics.load(this.#control, JOB_BYTES));
  }

  /** Writes how the job ended; nobody reads it before {@linkcode MailboxReceiver.tell}. */
  putEnd({ end, memoryPeakBytes }: WorkerResult): void {
    const bytes = encoder.encode(JSON.stringify({ end: shortened(end), memoryPeakBytes }));
    this.#end.set(bytes);
    Atomics.store(this.#control, END_BYTES, bytes.length);
  }

  /** Says that the job has ended, as the last thing that is done for it. */
  tell(): void {
    Atomics.add(this.#control, ENDED, 1);
    Atomics.notify(this.#control, ENDED);
  }
}

function shortened(end: WorkerEnd): WorkerEnd {
  return "reason" in end ? { ...end, reason: end.reason.slice(0, MAX_REASON_CHARS) } : end;
}
