/**
 * Controls one executor process: its start, the job that it runs and its end.
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { abortable } from "../../util/async/mod.ts";
import {
  collectionLimitMs,
  describeSlowCollection,
  FrameKind,
  type IpcFrame,
  type ModuleHeader,
} from "../ipc/mod.ts";
import type { ExecutorJob, JobStatus, SandboxEvent } from "../job_types.ts";
import {
  ChildConnection,
  ChildListener,
  writeJob,
  writeJobHead,
  writeStdin,
} from "./child_connection.ts";
import {
  describeExitStatus,
  JobResultReader,
  type JobStart,
  StderrReader,
} from "./job_result_reader.ts";
import { spawnExecutor } from "./spawn/mod.ts";

/** Error of a wait for an executor that its signal ended. */
export function stoppedWaiting(): PlasmError {
  return new PlasmError("interrupted", "Stopped waiting for an executor: cancelled");
}

/** Time a process may take to become ready, in milliseconds: about 0.1 s natively, 2 s emulated. */
const START_TIMEOUT_MS = 60_000;

/** Grace period between the stop request and SIGKILL, in milliseconds. */
const STOP_GRACE_MS = 60;

/** Delay of the stop request after a deadline that the process enforces too: with the grace period below 100 ms. */
const DEADLINE_DELAY_MS = 35;

/** Grace period of a process that stops its job on its own initiative, in milliseconds. */
const OWN_STOP_GRACE_MS = 1000;

const CANCELLED = "Job stopped: it was cancelled";

/** Options of {@linkcode StartHandshake}. */
export interface StartHandshakeOptions {
  /** Reads the next frame of the process; resolves to `undefined` when it has ended. */
  next: () => Promise<IpcFrame | undefined>;
  /** Kills the process. */
  kill: () => void;
  /** Waits for the end of the process and returns the reason for it. */
  reason: () => Promise<string>;
}

/** Waits for the frames that a process sends before its first job. */
export class StartHandshake {
  readonly #options: StartHandshakeOptions;
  #alive: Promise<boolean> | undefined;
  #ready: Promise<void> | undefined;

  /** Creates a handshake, which does not read before a method is called. */
  constructor(options: StartHandshakeOptions) {
    this.#options = options;
  }

  /** Resolves when the process runs, to whether it is ready too. */
  alive(): Promise<boolean> {
    return this.#alive ??= this.#next([FrameKind.Alive, FrameKind.Ready])
      .then((kind) => kind === FrameKind.Ready);
  }

  /** Resolves when the process accepts a job, or has started one that it was sent before. */
  ready(): Promise<void> {
    return this.#ready ??= this.alive().then(async (isReady) => {
      if (!isReady) await this.#next([FrameKind.Ready]);
    });
  }

  /** @throws {PlasmError} `executor` */
  async #next(kinds: readonly number[]): Promise<number> {
    const { next, kill, reason } = this.#options;
    const timeout = setTimeout(kill, START_TIMEOUT_MS);
    try {
      const frame = await next();
      if (frame !== undefined && kinds.includes(frame.kind)) return frame.kind;
      throw new PlasmError("executor", `Cannot start executor: ${await reason()}`, {
        hint: "Run plasm doctor",
      });
    } finally {
      clearTimeout(timeout);
    }
  }
}

/** Options of {@linkcode ExecutorProcess.start}. */
export interface StartOptions {
  /** Maximum memory of a job, in bytes. */
  maxMemoryBytes: number;
  /** Private directory for the listener's socket. @default {pipes} */
  socketDir?: string | undefined;
  /** Whether the process runs only when no other needs the processor. @default {false} */
  isIdle?: boolean | undefined;
}

/** Options of {@linkcode ExecutorProcess}. */
export interface ExecutorProcessOptions {
  /** The listener that the process was started with. @default {pipes} */
  listener?: ChildListener | undefined;
  /** Whether to kill the process as soon as its first job has ended. @default {false} */
  isSingleUse?: boolean | undefined;
}

/** Options of {@linkcode ExecutorProcess.run}. */
export interface ProcessRunOptions {
  /** Cancels the job. @default {never} */
  signal?: AbortSignal | undefined;
  /** Whether output events lend the connection's buffers; see `lendOutput()`. @default {false} */
  lendsOutput?: boolean | undefined;
  /** Describes the module when the job is sent. @default {not cached} */
  describeModule?: (() => ModuleHeader) | undefined;
  /** Called if the process reports that the job cannot start. @default {none} */
  onRefused?: (() => void) | undefined;
}

/** One executor process. Runs one job at a time. */
export class ExecutorProcess {
  readonly #child: Deno.ChildProcess;
  readonly #connection: ChildConnection;
  readonly #stderr: StderrReader;
  readonly #handshake: StartHandshake;
  readonly #isSingleUse: boolean;
  #usable = true;
  #hasEnded = false;
  /** Write of a job's head before the process was ready. */
  #head: Promise<void> | undefined;

  /** Takes over a process. */
  constructor(child: Deno.ChildProcess, options: ExecutorProcessOptions = {}) {
    this.#child = child;
    this.#isSingleUse = options.isSingleUse ?? false;
    child.status.then(() => {
      this.#hasEnded = true;
      this.#usable = false;
    });
    this.#connection = new ChildConnection(child, options.listener);
    this.#stderr = new StderrReader(child.stderr);
    this.#handshake = new StartHandshake({
      next: () => this.#connection.next(),
      kill: () => this.#signal("SIGKILL"),
      reason: () => this.kill().then(() => this.#stderr.summary()),
    });
  }

  /**
   * Starts a process.
   *
   * @throws {PlasmError} `executor` if the system cannot start one
   */
  static start(
    { maxMemoryBytes, socketDir, isIdle }: StartOptions,
    options: Pick<ExecutorProcessOptions, "isSingleUse"> = {},
  ): ExecutorProcess {
    const listener = socketDir === undefined ? undefined : ChildListener.open(socketDir);
    try {
      const child = spawnExecutor({ maxMemoryBytes, socketDir: listener?.dir, isIdle });
      return new ExecutorProcess(child, { ...options, listener });
    } catch (error) {
      listener?.close();
      const reason = error instanceof Error ? error.message : String(error);
      throw new PlasmError("executor", `Cannot start executor: ${reason}`, {
        hint: "Run plasm doctor",
        cause: error,
      });
    }
  }

  /** Process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Whether the process accepts another job. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Resolves when the process has ended. */
  get ended(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  /**
   * Sends a job without its standard input before the process is ready. The next call of `run()` must be for the
   * same job. The process must use pipes.
   */
  sendHead(job: ExecutorJob): void {
    const module = uncached(job);
    // A process that has ended is reported by run().
    this.#head = writeJobHead(job, { module, write: this.#write }).catch(() => {});
  }

  /** Resolves when the process runs; rejects as {@linkcode ExecutorProcess.ready}. */
  async alive(signal?: AbortSignal): Promise<void> {
    await abortable(this.#handshake.alive(), { signal, error: stoppedWaiting });
  }

  /**
   * Resolves when the process accepts a job.
   *
   * @throws {PlasmError} `executor` if it does not start, `interrupted` on abort
   */
  async ready(signal?: AbortSignal): Promise<void> {
    await abortable(this.#handshake.ready(), { signal, error: stoppedWaiting });
  }

  /**
   * Runs a job and yields its events. Consuming slowly applies backpressure; returning early kills the job.
   *
   * @throws {PlasmError} `bad-module` or `bad-input` if the job cannot start, `executor` if the process failed
   */
  async *run(
    job: ExecutorJob,
    options: ProcessRunOptions = {},
  ): AsyncGenerator<SandboxEvent, void, void> {
    if (!this.#usable) {
      throw new PlasmError("executor", "Cannot run job: the executor accepts no further job");
    }
    this.#usable = false;
    const { signal, lendsOutput = false } = options;
    const { buffers } = this.#connection;
    const stdin = new AbortController();
    let sending = this.#head && this.#send(job, { ...options, signal: stdin.signal });
    try {
      await this.ready(signal);
    } catch (error) {
      stdin.abort("ended");
      await sending;
      if (!signal?.aborted) throw error;
      return yield* this.#cancelBeforeStart();
    }
    const times: JobStart = { startedAt: Date.now(), start: performance.now() };
    const hasFiles = (job.outputs ?? []).length > 0;
    const timers = new StopTimers();
    let isStopping = false;
    const reader = new JobResultReader(job.limits.outputBytes, {
      outputFilesBytes: hasFiles ? job.limits.outputFilesBytes : undefined,
      fuel: job.limits.fuel,
      // The guest has ended, and its process limits the time to read the files.
      onFiles: () => {
        if (isStopping) return;
        timers.clear();
        reader.queue.bound();
        const limitMs = collectionLimitMs(job.limits);
        timers.deadlineAfter(
          limitMs + OWN_STOP_GRACE_MS,
          () => stop("timeout", describeSlowCollection(limitMs)),
        );
      },
      ...(lendsOutput
        ? {
          retain: (bytes) => buffers.retain(bytes),
          release: (bytes) => buffers.release(bytes),
        }
        : { retain: (bytes) => buffers.copy(bytes) }),
    });
    const { wallTimeMs } = job.limits;
    const kill = () => this.#signal("SIGKILL");
    const stop = (status: JobStatus, message: string): void => {
      isStopping = true;
      reader.stop(status, message);
      this.#signal("SIGTERM");
      timers.killAfter(STOP_GRACE_MS, kill);
    };
    const onAbort = () => stop("cancelled", CANCELLED);
    // The process enforces the deadline too. A slow reader must not prevent it: accept the rest of its output, which
    // is limited to ring and connection.
    timers.deadlineAfter(wallTimeMs, () => {
      reader.queue.unbound();
      timers.deadlineAfter(
        DEADLINE_DELAY_MS + (hasFiles ? OWN_STOP_GRACE_MS : 0),
        () => stop("timeout", `Job stopped: it ran longer than its ${wallTimeMs} ms of wall time`),
      );
    });
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    // The same at a limit that only the process can measure, such as CPU time.
    this.#stderr.onStopping = () => {
      if (reader.hasFiles) return;
      reader.queue.unbound();
      timers.killAfter(OWN_STOP_GRACE_MS, kill);
    };
    sending ??= this.#send(job, { ...options, signal: stdin.signal });
    const receiving = this.#receive(reader, times);
    try {
      yield { type: "started", at: times.startedAt };
      yield* reader.queue.drain();
    } finally {
      timers.clear();
      signal?.removeEventListener("abort", onAbort);
      stdin.abort("ended"); // a reason avoids the creation of an exception with its stack trace
      if (!reader.finished) this.#signal("SIGKILL");
      reader.queue.close();
      await receiving;
      await sending;
      if (lendsOutput) buffers.discard();
      if (reader.refused) options.onRefused?.();
      this.#usable = reader.reusable && !this.#hasEnded && !this.#isSingleUse;
      if (!this.#usable) await this.kill();
    }
  }

  /** Kills the process and waits for its end. */
  async kill(): Promise<void> {
    this.#usable = false;
    this.#signal("SIGKILL");
    await this.#child.status;
    await Promise.allSettled([this.#connection.close(), this.#stderr.done]);
  }

  /** Ends a job that was cancelled while the process started. */
  async *#cancelBeforeStart(): AsyncGenerator<SandboxEvent, void, void> {
    await this.kill();
    const times: JobStart = { startedAt: Date.now(), start: performance.now() };
    const reader = new JobResultReader(0);
    reader.exited({ status: "cancelled", message: CANCELLED });
    await reader.end(times);
    yield { type: "started", at: times.startedAt };
    yield* reader.queue.drain();
  }

  #write = (bytes: Uint8Array): Promise<void> => this.#connection.write(bytes);

  /** Sends a job until its standard input or the job ends. */
  async #send(
    job: ExecutorJob,
    { signal, describeModule }: ProcessRunOptions & { signal: AbortSignal },
  ): Promise<void> {
    const write = this.#write;
    try {
      if (this.#head === undefined) {
        const module = describeModule?.() ?? uncached(job);
        await writeJob(job, { module, write, signal });
      } else {
        await this.#head;
        this.#head = undefined;
        await writeStdin(job, { write, signal });
      }
    } catch {
      // The process has ended: #receive() reports why.
    }
  }

  async #receive(reader: JobResultReader, times: JobStart): Promise<void> {
    try {
      while (!reader.finished) {
        const frame = await this.#connection.next();
        if (frame === undefined) {
          const status = await this.#child.status;
          await this.#stderr.done;
          const { isGrowing } = reader;
          reader.exited(describeExitStatus(status, { stderr: this.#stderr.text(), isGrowing }));
        } else await reader.read(frame);
      }
      // The end of a process takes longer than the remaining work here, so start it now.
      if (this.#isSingleUse) this.#signal("SIGKILL");
      await reader.end(times);
    } catch (error) {
      this.#signal("SIGKILL");
      reader.queue.fail(error);
    }
  }

  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    try {
      this.#child.kill(signal);
    } catch {
      // The process has ended already.
    }
  }
}

/** Timers that stop a job. */
class StopTimers {
  #deadline: ReturnType<typeof setTimeout> | undefined;
  #kill: ReturnType<typeof setTimeout> | undefined;

  /** Replaces the deadline. */
  deadlineAfter(ms: number, onDeadline: () => void): void {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(onDeadline, ms);
  }

  /** Starts the grace period before a kill, unless one has started. */
  killAfter(ms: number, kill: () => void): void {
    this.#kill ??= setTimeout(kill, ms);
  }

  /** Stops both. */
  clear(): void {
    clearTimeout(this.#deadline);
    clearTimeout(this.#kill);
    this.#deadline = this.#kill = undefined;
  }
}

function uncached({ module }: ExecutorJob): ModuleHeader {
  return { key: null, isCached: false, bytes: module.length, evict: [] };
}
