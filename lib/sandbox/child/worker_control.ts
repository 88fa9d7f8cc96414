/**
 * Controls the guest's worker from the child's main thread: starts it, sends it jobs and forwards their streams.
 *
 * @module
 */
import type { NondeterminismSource } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { FRAME_HEADER_BYTES } from "../../util/mod.ts";
import {
  createMailbox,
  createRing,
  FRAME_OFFSET,
  FrameKind,
  MailboxSender,
  MAX_STREAM_BYTES,
  OUTPUT_RING_BYTES,
  OutputRingReader,
  RingReader,
  RingWriter,
  type WorkerJob,
  type WorkerResult,
} from "../ipc/mod.ts";
import type { SharedTreePart } from "../../wasi/mod.ts";
import type { ParentConnection } from "./parent_connection.ts";

/** Path of the worker: in the bundle it lies next to this file, in the source in its own folder. */
const WORKER_PATH = Deno.build.standalone ? "./worker.ts" : "../worker/worker.ts";

/** Capacity of the ring for standard input, in bytes: enough for connection and guest to work in parallel. */
const STDIN_RING_BYTES = 512 * 1024;

/** Size up to which the last output is sent in one write with the job's report, in bytes. */
const LAST_OUTPUT_BYTES = 16 * 1024;

/** Number of jobs after which the worker returns to its event loop, where the engine runs deferred work. */
const JOBS_PER_TURN = 64;

/** Size of the buffer for input that is discarded, in bytes. */
const DISCARD_BYTES = 4096;

/** Size from which a piece is part of bulk input, in bytes: its last few bytes may wait for the next piece. */
const BULK_BYTES = 1024;

/** Message of the worker with memory of the files of a job, which is numbered. */
interface FilesMessage {
  job: number;
  part: SharedTreePart;
}

/** Moves the content of an input to memory that the worker shares. */
export function shareInput(data: Uint8Array): Uint8Array {
  const shared = new Uint8Array(new SharedArrayBuffer(data.length) as unknown as ArrayBuffer);
  shared.set(data);
  return shared;
}

/** A worker and its state. */
export interface GuestWorker {
  /** The worker. */
  worker: Worker;
  /** Resolves when it is loaded; rejects with V8's message if it cannot be. */
  ready: Promise<void>;
}

/** A job for {@linkcode WorkerControl.start}. */
export interface StartedJob
  extends Omit<WorkerJob, "key" | "evict" | "stdin" | "output" | "mailbox"> {
  /** Called when the guest has ended and its output files follow. */
  onFiles: () => void;
  /** Key under which the worker may store the module; `null` if it may not. */
  key: string | null;
  /** Payload of the Job frame, for a worker that has the module stored. */
  json: Uint8Array;
}

/** Result of a job in the worker. */
export interface FinishedJob extends WorkerResult {
  /** Frames with the last output, which have not been sent. */
  lastOutput: Uint8Array[];
}

/** Sends one frame; resolves when the next one may be sent. */
export type FrameSink = (frame: Uint8Array) => Promise<void>;

/** Starts a worker without permissions. Blocks the thread for about the start-up time of a runtime. */
export function startGuestWorker(): GuestWorker {
  const worker = new Worker(new URL(WORKER_PATH, import.meta.url), {
    type: "module",
    name: "guest",
    deno: { permissions: "none" },
  });
  const ready = new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  });
  ready.catch(() => {}); // reported to callers that await it
  return { worker, ready };
}

/** One worker with its rings and mailbox; runs one job at a time. */
export class WorkerControl {
  /** Resolves when the worker is loaded. */
  readonly ready: Promise<void>;
  readonly #worker: Worker;
  readonly #stdin = createRing(STDIN_RING_BYTES);
  readonly #stdinWriter = new RingWriter(this.#stdin);
  readonly #stdinReader = new RingReader(this.#stdin);
  readonly #output = createRing(OUTPUT_RING_BYTES);
  readonly #outputReader = new OutputRingReader(this.#output);
  readonly #frame = new Uint8Array(FRAME_OFFSET + FRAME_HEADER_BYTES + MAX_STREAM_BYTES);
  readonly #mailbox = createMailbox();
  readonly #sender = new MailboxSender(this.#mailbox);
  /** Keys of the modules that the worker has stored. */
  readonly #stored = new Set<string>();
  #evicted: string[] = [];
  #jobs = 0;
  /** Memory of the current job's files, if it has outputs; none between jobs. */
  #files: SharedTreePart[] | undefined;
  #forwarding: Promise<void> = Promise.resolve();
  /** Set by {@linkcode WorkerControl.drain}. */
  #isDrained = false;
  #guestEnded = true;
  #isFinished = false;
  /** Whether the worker blocks on the mailbox, instead of its message loop. */
  #blocksOnMailbox = false;
  #failure: Promise<never> | undefined;
  /** Called when the guest has ended and its output files follow. */
  #onFiles: () => void = () => {};
  #onError: (error: PlasmError) => void = () => {};

  /** Takes over a worker that may still be loading. */
  constructor({ worker, ready }: GuestWorker) {
    this.#worker = worker;
    this.ready = ready.then(() => {
      worker.onmessage = ({ data: { job, part } }: MessageEvent<FilesMessage>) => {
        if (job === this.#jobs) this.#addFiles(part);
      };
      worker.onerror = (event) => {
        event.preventDefault();
        this.#onError(new PlasmError("executor", `Worker failed: ${event.message}`));
      };
    });
  }

  /** Releases stored modules. */
  evict(keys: readonly string[]): void {
    for (const key of keys) if (this.#stored.delete(key)) this.#evicted.push(key);
  }

  /** Sends a job to the worker, to which the memory of its inputs moves. The previous job must have ended. */
  start({ json, key, onFiles, ...job }: StartedJob): void {
    this.#guestEnded = false;
    this.#files = [];
    this.#sender.clearSources();
    this.#onFiles = onFiles;
    const { promise, reject } = Promise.withResolvers<never>();
    promise.catch(() => {}); // reported by finish()
    this.#failure = promise;
    this.#onError = reject;
    const isStored = key !== null && this.#stored.has(key) && job.inputs.length === 0;
    const needsTurn = ++this.#jobs % JOBS_PER_TURN === 0 || this.#evicted.length > 0;
    if (this.#blocksOnMailbox && isStored && !needsTurn && this.#sender.sendJob(json)) return;
    if (this.#blocksOnMailbox) this.#sender.announceMessage();
    this.#worker.postMessage(
      {
        ...job,
        key,
        evict: this.#evicted,
        stdin: this.#stdin,
        output: this.#output,
        mailbox: this.#mailbox,
      } satisfies WorkerJob,
      // Files are moved: a copy of each in the message and in the worker would exceed the job's memory.
      job.inputs.flatMap(({ data }) => data?.buffer instanceof ArrayBuffer ? [data.buffer] : []),
    );
    this.#evicted = [];
    if (key !== null) this.#stored.add(key);
    // After a job with files the worker returns to its event loop: the message would retain them.
    this.#blocksOnMailbox = job.inputs.length === 0;
  }

  /** Memory in which the files of the current job are; none without outputs. */
  get files(): readonly SharedTreePart[] {
    return this.#files ?? [];
  }

  #addFiles(part: SharedTreePart): void {
    // The last log but one may be the newest that is complete.
    this.#files = this.#files?.filter(({ kind, generation }) =>
      kind !== "log" || generation >= part.generation - 1
    );
    this.#files?.push(part);
  }

  /** Whether the current job has a result. */
  get hasResult(): boolean {
    return this.#sender.hasResult;
  }

  /** Sources of nondeterminism that the current job has used so far, sorted. */
  get sources(): NondeterminismSource[] {
    return this.#sender.sources;
  }

  /** Blocks the thread until the job has a result or the timeout expires, in milliseconds. */
  waitSync(timeoutMs: number): void {
    this.#sender.waitSync(timeoutMs);
  }

  /**
   * Forwards output until the job has a result.
   *
   * @throws {PlasmError} `executor` if the worker failed or wrote a malformed result
   */
  async finish(sink: FrameSink): Promise<FinishedJob> {
    if (!this.#sender.hasResult) {
      await Promise.race([this.#pump(sink), this.#failure]);
      await Promise.race([this.#sender.wait(), this.#failure]);
    }
    // drain() sends the rest, and the process exits after it.
    if (this.#isDrained) return await new Promise<never>(() => {});
    const result = this.#sender.readResult();
    this.#files = undefined;
    this.#guestEnded = this.#isFinished = true;
    let lastOutput: Uint8Array[] = [];
    for (let bytes = 0, end = 0; bytes < LAST_OUTPUT_BYTES; bytes += end) {
      end = this.#outputReader.readFrame(this.#frame);
      if (end === 0) break;
      lastOutput.push(this.#frame.slice(FRAME_OFFSET, end));
      if (bytes + end >= LAST_OUTPUT_BYTES) {
        for (const frame of lastOutput) await sink(frame);
        lastOutput = [];
        await this.#forward(sink);
        break;
      }
    }
    this.#outputReader.reset();
    return { ...result, lastOutput };
  }

  /** Whether the current job has ended and its report is being sent. */
  get isFinished(): boolean {
    return this.#isFinished;
  }

  /**
   * Waits for space in the ring of standard input and returns a view of it.
   *
   * @param held Number of bytes that {@linkcode WorkerControl.commitStdin} has held back
   * @returns `undefined` if the guest has ended
   */
  async reserveStdin(held = 0): Promise<Uint8Array | undefined> {
    return this.#guestEnded ? undefined : await this.#stdinWriter.reserve(held);
  }

  /** Publishes bytes to the guest; see {@linkcode RingWriter.commit}. */
  commitStdin(count: number, holdsBack = false): number {
    return this.#stdinWriter.commit(count, holdsBack);
  }

  /** Marks the end of standard input. */
  endStdin(): void {
    this.#stdinWriter.close();
  }

  /** Prepares standard input for the next job, after this job and its input have ended. */
  resetStdin(): void {
    this.#stdinReader.reset();
    this.#isFinished = false;
  }

  /** Discards unread standard input, so that a pending write completes after the guest has ended. */
  discardStdin(): void {
    this.#stdinReader.discard();
  }

  /** Stops the guest at its next call, after which its output files follow. The process cannot run another job. */
  requestStop(): void {
    this.#sender.requestStop();
    // Ends a wait for input.
    this.#stdinWriter.close();
  }

  /** Sends the output written so far, before the process exits: the guest may be running. */
  async drain(sink: FrameSink): Promise<void> {
    this.#isDrained = true;
    await this.#forwarding;
    await this.#forward(sink, OUTPUT_RING_BYTES);
  }

  async #pump(sink: FrameSink): Promise<void> {
    while (await this.#outputReader.wait()) {
      if (this.#isDrained) return;
      this.#forwarding = this.#forward(sink);
      await this.#forwarding;
    }
  }

  /** Sends frames until the ring is empty; while draining, at most about `maxBytes`. */
  async #forward(sink: FrameSink, maxBytes = 0): Promise<void> {
    const frame = this.#frame;
    let sent = 0;
    do {
      const end = this.#outputReader.readFrame(frame);
      if (end === 0) return;
      if (frame[FRAME_OFFSET] === FrameKind.Files) this.#onFiles();
      await sink(frame.subarray(FRAME_OFFSET, end));
      sent += end;
    } while (!this.#isDrained || sent < maxBytes);
  }
}

/** Standard input of one job. */
export class StdinForwarder {
  readonly #connection: ParentConnection;
  readonly #worker: WorkerControl | undefined;
  readonly #discarded = new Uint8Array(DISCARD_BYTES);
  /** Bytes missing of the current frame. */
  #frameLeft = 0;
  /** Bytes in the ring that are not published yet. */
  #held = 0;
  #ended = false;
  #forwarding: Promise<void> | undefined;

  /** Forwards to the worker, or discards the input without one. */
  constructor(connection: ParentConnection, worker: WorkerControl | undefined) {
    this.#connection = connection;
    this.#worker = worker;
  }

  /** Whether the end of the input has been received. */
  get ended(): boolean {
    return this.#ended;
  }

  /** Forwards input that is already buffered. */
  async forwardBuffered(): Promise<void> {
    const required = () => this.#frameLeft > 0 ? 1 : FRAME_HEADER_BYTES;
    while (!this.#ended && this.#connection.bufferedBytes >= required()) await this.#forwardOne();
  }

  /** Forwards input to its end, but returns after the timeout, in milliseconds, while forwarding continues. */
  async forwardBriefly(timeoutMs: number): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    const timeout = new Promise((resolve) => timer = setTimeout(resolve, timeoutMs));
    await Promise.race([this.forwardAll(), timeout]);
    clearTimeout(timer);
  }

  /** Forwards input to its end; discards what arrives after the guest has ended. */
  forwardAll(): Promise<void> {
    return this.#forwarding ??= this.#forwardAll();
  }

  async #forwardAll(): Promise<void> {
    while (!this.#ended) await this.#forwardOne();
  }

  async #forwardOne(): Promise<void> {
    if (this.#frameLeft === 0) return await this.#readHeader();
    const into = await this.#worker?.reserveStdin(this.#held) ?? this.#discarded;
    const count = await this.#connection.readStdin(into.subarray(0, this.#frameLeft));
    if (count === null) Deno.exit(0); // the parent has closed the connection
    this.#frameLeft -= count;
    if (into === this.#discarded || this.#worker === undefined) return;
    const holdsBack = this.#frameLeft > 0 && count >= BULK_BYTES;
    this.#held = this.#worker.commitStdin(this.#held + count, holdsBack);
  }

  async #readHeader(): Promise<void> {
    const { kind, stdinBytes } = await this.#connection.next() ?? Deno.exit(0);
    if (kind === FrameKind.StdinEnd) {
      this.#ended = true;
      this.#worker?.endStdin();
    } else if (kind === FrameKind.Stdin) this.#frameLeft = stdinBytes;
    else throw new PlasmError("executor", `Unexpected frame: kind ${kind}`);
  }
}
