/**
 * The main thread's side of the worker in an executor: starts it, hands it jobs, moves its output.
 * @module
 */
import {
  createMailbox,
  createRing,
  FRAME_AT,
  FRAME_HEADER_BYTES,
  MailboxSender,
  MAX_STREAM_BYTES,
  OUTPUT_RING_BYTES,
  OutputRingReader,
  RingReader,
  RingWriter,
} from "../ipc/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { GuestWorker } from "./guest_worker.ts";
import type { WorkerJob, WorkerResult } from "../worker/mod.ts";

/** Bytes of stdin that may wait in the ring: enough to overlap pipe and guest. */
const STDIN_RING_BYTES = 512 * 1024;

/** A job for the worker. */
export interface GivenJob extends Omit<WorkerJob, "key" | "forget" | "stdin" | "output" | "slot"> {
  /** By what its module may be kept; null: it is not. */
  key: string | null;
  /** The same as JSON, without inputs, for a worker that has the module. */
  json: Uint8Array;
}

/** How a job in the worker ended, and the last of its output, which the sink was not given. */
export interface GivenResult extends WorkerResult {
  rest: Uint8Array[];
}

/** Bytes of output that are left for the end to go with, in one write. */
const REST_BYTES = 16 * 1024;

/**
 * How many jobs a worker is given without a turn of its event loop, in which the engine does what it has
 * put off.
 */
const JOBS_PER_TURN = 64;

/** Takes one whole frame; resolves when there is room for the next. */
export type FrameSink = (frame: Uint8Array) => Promise<void>;

/** One worker with its rings; runs one job at a time. */
export class GuestWorkerControl {
  /** Resolves once the worker is loaded. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #stdin = createRing(STDIN_RING_BYTES);
  readonly #stdinWriter = new RingWriter(this.#stdin);
  readonly #stdinReader = new RingReader(this.#stdin);
  readonly #output = createRing(OUTPUT_RING_BYTES);
  readonly #outputReader = new OutputRingReader(this.#output);
  readonly #frame = new Uint8Array(FRAME_AT + FRAME_HEADER_BYTES + MAX_STREAM_BYTES);
  #forwarding: Promise<void> = Promise.resolve();
  #stopped = false;
  #ended = true;
  #over = false;
  #onError: (error: PlasmError) => void = () => {};
  readonly #slot = createMailbox();
  readonly #giver = new MailboxSender(this.#slot);
  /** Keys of the modules that the worker has. */
  readonly #sent = new Set<string>();
  #forget: string[] = [];
  #jobs = 0;
  /** Whether the worker waits for its next job on the slot, else for a message. */
  #waits = false;
  #failed: Promise<never> | undefined;

  constructor({ worker, ready }: GuestWorker) {
    this.#worker = worker;
    this.ready = ready.then(() => {
      worker.onerror = (event) => {
        event.preventDefault();
        this.#onError(new PlasmError("executor", `Worker failed: ${event.message}`));
      };
    });
  }

  /** Lets go of modules. */
  forget(keys: readonly string[]): void {
    for (const key of keys) if (this.#sent.delete(key)) this.#forget.push(key);
  }

  /** Gives the worker a job; the one before must have ended. */
  give({ json, key, ...job }: GivenJob): void {
    this.#ended = false;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {}); // told by ended()
    this.#failed = promise;
    this.#onError = reject;
    const isPlain = key !== null && this.#sent.has(key) && job.inputs.length === 0;
    const takesTurn = ++this.#jobs % JOBS_PER_TURN === 0 || this.#forget.length > 0;
    if (this.#waits && isPlain && !takesTurn && this.#giver.give(json)) return;
    if (this.#waits) this.#giver.call();
    this.#worker.postMessage(
      {
        ...job,
        key,
        forget: this.#forget,
        stdin: this.#stdin,
        output: this.#output,
        slot: this.#slot,
      } satisfies WorkerJob,
    );
    this.#forget = [];
    if (key !== null) this.#sent.add(key);
    // With files it goes back to its event loop, or it would hold them.
    this.#waits = job.inputs.length === 0;
  }

  /** Whether the job that was given has ended. */
  get hasEnded(): boolean {
    return this.#giver.hasEnded;
  }

  /** Blocks the thread until the job has ended, for so many milliseconds at most. */
  waitSync(ms: number): void {
    this.#giver.waitSync(ms);
  }

  /** Awaits the job's end, and passes its output on until then. */
  async ended(sink: FrameSink): Promise<GivenResult> {
    if (!this.#giver.hasEnded) {
      await Promise.race([this.#pump(sink), this.#failed]);
      await Promise.race([this.#giver.wait(), this.#failed]);
    }
    // What is written now goes by drain(), after which the process ends.
    if (this.#stopped) return await new Promise<never>(() => {});
    const result = this.#giver.takeEnd();
    this.#ended = this.#over = true;
    let rest: Uint8Array[] = [];
    for (let bytes = 0, end = 0; bytes < REST_BYTES; bytes += end) {
      end = this.#outputReader.readFrame(this.#frame);
      if (end === 0) break;
      rest.push(this.#frame.slice(FRAME_AT, end));
      if (bytes + end >= REST_BYTES) {
        for (const frame of rest) await sink(frame);
        rest = [];
        await this.#forward(sink);
        break;
      }
    }
    this.#outputReader.reset();
    return { ...result, rest };
  }

  /** Whether a job has ended, and its end is on its way. */
  get isOver(): boolean {
    return this.#over;
  }

  /**
   * Where the guest's next bytes of standard input are to be put; waits while it has enough unread.
   * Undefined once there is no guest any more.
   *
   * @param held How many {@linkcode commitStdin} has held back.
   */
  async roomForStdin(held = 0): Promise<Uint8Array | undefined> {
    return this.#ended ? undefined : await this.#stdinWriter.room(held);
  }

  /** Gives the guest so many bytes, which were put there, or holds a few back; see {@linkcode RingWriter.commit}. */
  commitStdin(count: number, holdsBack = false): number {
    return this.#stdinWriter.commit(count, holdsBack);
  }

  /** Ends the guest's standard input. */
  endStdin(): void {
    this.#stdinWriter.close();
  }

  /** Makes standard input ready for the next job, once this one has ended and its input too. */
  resetStdin(): void {
    this.#stdinReader.reset();
    this.#over = false;
  }

  /** Lets a write that waits for a guest which will never read again go on. */
  discardStdin(): void {
    this.#stdinReader.discard();
  }

  /** Sends what the guest has written until now, for a last time: it may go on writing. */
  async drain(sink: FrameSink): Promise<void> {
    this.#stopped = true;
    await this.#forwarding;
    await this.#forward(sink, OUTPUT_RING_BYTES);
  }

  async #pump(sink: FrameSink): Promise<void> {
    while (await this.#outputReader.wait()) {
      if (this.#stopped) return;
      this.#forwarding = this.#forward(sink);
      await this.#forwarding;
    }
  }

  /** Sends frames until the ring is empty; once stopped, until about `atMost` bytes have gone. */
  async #forward(sink: FrameSink, atMost = 0): Promise<void> {
    const frame = this.#frame;
    let sent = 0;
    do {
      const end = this.#outputReader.readFrame(frame);
      if (end === 0) return;
      await sink(frame.subarray(FRAME_AT, end));
      sent += end;
    } while (!this.#stopped || sent < atMost);
  }
}
