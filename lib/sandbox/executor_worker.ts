/**
 * The main thread's side of the worker in an executor: starts it, hands it jobs, moves its output.
 * @module
 */
import { FRAME_AT, OUTPUT_RING_BYTES, OutputReader } from "./output_ring.ts";
import { createRing, RingReader, RingWriter } from "./ring.ts";
import { FRAME_HEADER_BYTES } from "./frames.ts";
import { MAX_STREAM_BYTES } from "./executor_protocol.ts";
import { PlasmError } from "../errors.ts";
import type { GuestWorker } from "./guest_worker.ts";
import type { WorkerEnd, WorkerJob, WorkerMessage } from "./worker.ts";

/** Bytes of stdin that may wait in the ring: enough to overlap pipe and guest. */
const STDIN_RING_BYTES = 512 * 1024;

/** How a job in the worker ended. */
export interface WorkerResult {
  end: WorkerEnd;
  memoryPeakBytes: number;
}

/** Takes one whole frame; resolves when there is room for the next. */
export type FrameSink = (frame: Uint8Array) => Promise<void>;

/** One worker with its rings; runs one job at a time. */
export class ExecutorWorker {
  /** Resolves once the worker is loaded. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #stdin = createRing(STDIN_RING_BYTES);
  readonly #stdinWriter = new RingWriter(this.#stdin);
  readonly #stdinReader = new RingReader(this.#stdin);
  readonly #output = createRing(OUTPUT_RING_BYTES);
  readonly #outputReader = new OutputReader(this.#output);
  readonly #frame = new Uint8Array(FRAME_AT + FRAME_HEADER_BYTES + MAX_STREAM_BYTES);
  #forwarding: Promise<void> = Promise.resolve();
  #stopped = false;
  #ended = true;
  #onMessage: (message: WorkerMessage) => void = () => {};
  #onError: (error: PlasmError) => void = () => {};

  constructor({ worker, ready }: GuestWorker) {
    this.#worker = worker;
    this.ready = ready.then(() => {
      worker.onmessage = ({ data }: MessageEvent<WorkerMessage>) => this.#onMessage(data);
      worker.onerror = (event) => {
        event.preventDefault();
        this.#onError(new PlasmError("executor", `Worker failed: ${event.message}`));
      };
    });
  }

  /** Runs a job; all its output has gone to the sink when this resolves. */
  async run(job: Omit<WorkerJob, "stdin" | "output">, sink: FrameSink): Promise<WorkerResult> {
    this.#ended = false;
    const result = new Promise<WorkerResult>((resolve, reject) => {
      this.#onMessage = (message) => {
        if (message.type === "end") resolve(message);
      };
      this.#onError = reject;
    });
    this.#worker.postMessage({ ...job, stdin: this.#stdin, output: this.#output });
    const pumping = this.#pump(sink);
    const ended = await result;
    this.#ended = true;
    await pumping;
    this.#outputReader.reset();
    return ended;
  }

  /**
   * Where the guest's next bytes of standard input are to be put; waits while it has enough unread.
   * Undefined once there is no guest any more.
   */
  async roomForStdin(): Promise<Uint8Array | undefined> {
    return this.#ended ? undefined : await this.#stdinWriter.room();
  }

  /** Gives the guest so many bytes, which were put there. */
  commitStdin(count: number): void {
    this.#stdinWriter.commit(count);
  }

  /** Ends the guest's standard input. */
  endStdin(): void {
    this.#stdinWriter.close();
  }

  /** Makes standard input ready for the next job, once this one has ended and its input too. */
  resetStdin(): void {
    this.#stdinReader.reset();
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
