/**
 * The parent's side of one executor process: starts it, hands it jobs, reads its events, and kills
 * it when it does not keep to its deadline.
 * @module
 */
import { PlasmError } from "../errors.ts";
import { ExecutorChannel } from "./executor_channel.ts";
import type { ExecutorCommandOptions } from "./executor_command.ts";
import { ExecutorDoor } from "./executor_door.ts";
import { MAX_REPORT_BYTES, MAX_STREAM_BYTES } from "./executor_protocol.ts";
import { describeDeath, StderrTail } from "./executor_death.ts";
import { type Frame, FrameKind, readFrames } from "./frames.ts";
import { startExecutorProcess } from "./executor_process.ts";
import { sendJob } from "./executor_sender.ts";
import { ModuleCache } from "./module_cache.ts";
import { untilAborted } from "./until_aborted.ts";
import { RunState } from "./run_state.ts";
import type { JobStatus, SandboxEvent, SandboxJob } from "./types.ts";

/** How long a process that was told to stop its job may take to say its last, in ms. */
const LAST_WORDS_MS = 60;

/** How late a process may be at its deadline before it is told, in ms: with the above under 100. */
const LATE_MS = 35;

/** How long a process that stops its job by itself may take to say its last, in ms. */
const STOPPING_MS = 1000;

/** How long a process may take to become ready, in ms: about 0.1 s natively, 2 s emulated. */
const START_TIMEOUT_MS = 60_000;

const CANCELLED = "Job stopped: it was cancelled";

const MAX_BYTES: Record<number, number> = {
  [FrameKind.Ready]: 0,
  [FrameKind.Stdout]: MAX_STREAM_BYTES,
  [FrameKind.Stderr]: MAX_STREAM_BYTES,
  [FrameKind.Usage]: MAX_REPORT_BYTES,
  [FrameKind.Finished]: MAX_REPORT_BYTES,
  [FrameKind.Refused]: MAX_REPORT_BYTES,
};

/** Options of {@linkcode Executor}. */
export interface ExecutorOptions {
  /**
   * Memory that jobs of this executor may use at most, in bytes.
   * @default {4 GiB}
   */
  maxMemoryBytes?: number;
  /**
   * Whether it is confined as far as can be without trying first what the system allows, which saves
   * its time; where the system allows less, {@linkcode Executor.ready} rejects.
   * @default {false}
   */
  assumesConfinement?: boolean;
  /**
   * A directory that only this user may enter: a socket in it takes the place of pipes, and is gone once
   * the process has started.
   * @default {pipes, which are slower for much input and output}
   */
  socketDir?: string | undefined;
  /**
   * The process, where it was started before, with the other options and without a socket.
   * @default {a new one}
   */
  process?: Deno.ChildProcess | undefined;
}

/** Options of {@linkcode Executor.ready}. */
export interface ExecutorReadyOptions {
  /** Gives up waiting. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Options of {@linkcode Executor.run}. */
export interface ExecutorRunOptions {
  /** Cancels the job. @default {never} */
  signal?: AbortSignal | undefined;
  /**
   * Whether output is overwritten once the event after it is asked for, which saves its copy.
   * @default {false}
   */
  lendsOutput?: boolean | undefined;
}

/** One executor process; runs one job at a time. */
export class Executor implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #channel: ExecutorChannel;
  readonly #frames: AsyncGenerator<Frame, void, void>;
  readonly #stderr: StderrTail;
  readonly #modules = new ModuleCache();
  readonly #maxMemoryBytes: number;
  #ready: Promise<void> | undefined;
  #usable = true;
  #hasEnded = false;

  /**
   * Starts the process; {@linkcode Executor.ready} tells when it waits for a job.
   *
   * @throws {PlasmError} `executor` when the system gives no process.
   */
  constructor(options: ExecutorOptions = {}) {
    this.#maxMemoryBytes = options.maxMemoryBytes ?? 4 * 2 ** 30;
    const { socketDir } = options;
    const door = socketDir === undefined ? undefined : ExecutorDoor.open(socketDir);
    try {
      this.#child = options.process ?? start({
        doorDir: door?.dir,
        maxMemoryBytes: this.#maxMemoryBytes,
        assumesConfinement: options.assumesConfinement,
      });
    } catch (error) {
      door?.close();
      throw error;
    }
    this.#child.status.then(() => {
      this.#hasEnded = true;
      this.#usable = false;
    });
    this.#channel = new ExecutorChannel(this.#child, door);
    this.#frames = readFrames(this.#channel.read(), {
      maxBytes: (kind) => MAX_BYTES[kind],
      inParts: [FrameKind.Stdout, FrameKind.Stderr],
    });
    this.#stderr = new StderrTail(this.#child.stderr);
  }

  /** Process id. */
  get pid(): number {
    return this.#child.pid;
  }

  /** Whether the process can take another job. */
  get usable(): boolean {
    return this.#usable;
  }

  /** Whether a job with this `moduleKey` runs without its module being sent and compiled again. */
  hasModule(key: string): boolean {
    return this.#modules.has(key);
  }

  /** Resolves when the process has ended. */
  get ended(): Promise<Deno.CommandStatus> {
    return this.#child.status;
  }

  /**
   * Resolves once the process waits for a job.
   *
   * @throws {PlasmError} `executor` when it does not start, `interrupted` on abort.
   */
  async ready({ signal }: ExecutorReadyOptions = {}): Promise<void> {
    this.#ready ??= this.#awaitReady();
    await untilAborted(this.#ready, signal);
  }

  /**
   * Runs a job and yields what happens to it. Who does not pull holds the guest back; who leaves
   * the loop early kills the job.
   *
   * @throws {PlasmError} `bad-module` or `bad-input` when the job never began, `executor` when the
   * process failed.
   */
  async *run(
    job: SandboxJob,
    options: ExecutorRunOptions = {},
  ): AsyncGenerator<SandboxEvent, void, void> {
    if (!this.#usable) throw new PlasmError("executor", "Cannot run job: the executor is used up");
    this.#usable = false;
    const { signal } = options;
    try {
      await this.ready({ signal });
    } catch (error) {
      if (!signal?.aborted) throw error;
      return yield* this.#cancelled();
    }
    const startedAt = Date.now();
    const start = performance.now();
    const { lent } = this.#channel;
    const run = new RunState(
      job.limits.outputBytes,
      options.lendsOutput === true
        ? { hold: (bytes) => lent.hold(bytes), giveBack: (bytes) => lent.giveBack(bytes) }
        : { hold: (bytes) => lent.copy(bytes) },
    );
    let hardKill: ReturnType<typeof setTimeout> | undefined;
    const stop = (status: JobStatus, message: string) => {
      run.stop(status, message);
      this.#signal("SIGTERM");
      hardKill ??= setTimeout(() => this.#signal("SIGKILL"), LAST_WORDS_MS);
    };
    const onAbort = () => stop("cancelled", CANCELLED);
    const { wallTimeMs } = job.limits;
    let deadline = setTimeout(() => {
      // At the deadline the process must get rid of its output even if nobody pulls, or it would hold
      // on to the CPU: from now on the queue takes what comes, which is no more than ring and pipe.
      run.queue.open();
      // The process keeps the deadline itself; this one is for a process that does not.
      deadline = setTimeout(
        () => stop("timeout", `Job stopped: it ran longer than its ${wallTimeMs} ms of wall time`),
        LATE_MS,
      );
    }, wallTimeMs);
    signal?.addEventListener("abort", onAbort);
    if (signal?.aborted) onAbort();
    // The same at a limit that only the process sees, such as CPU time.
    this.#stderr.onStopping = () => {
      run.queue.open();
      hardKill ??= setTimeout(() => this.#signal("SIGKILL"), STOPPING_MS);
    };
    const stdin = new AbortController();
    const sending = this.#send(job, stdin.signal);
    const receiving = this.#receive(run, { startedAt, start });
    try {
      yield { type: "started", at: startedAt };
      yield* run.queue.drain();
    } finally {
      clearTimeout(deadline);
      clearTimeout(hardKill);
      signal?.removeEventListener("abort", onAbort);
      stdin.abort("over"); // with a reason, or an exception with its stack would be made
      if (!run.finished) this.#signal("SIGKILL");
      run.queue.close();
      await receiving;
      await sending;
      lent.forget();
      if (run.refused && job.moduleKey !== undefined) this.#modules.forget(job.moduleKey);
      this.#usable = run.reusable && !this.#hasEnded;
      if (!this.#usable) await this.kill();
    }
  }

  /** The end of a job that was cancelled while its process started. */
  async *#cancelled(): AsyncGenerator<SandboxEvent, void, void> {
    await this.kill();
    const startedAt = Date.now();
    const run = new RunState(0);
    run.died({ status: "cancelled", message: CANCELLED });
    await run.end({ startedAt, start: performance.now() });
    yield { type: "started", at: startedAt };
    yield* run.queue.drain();
  }

  /** Kills the process and waits until it is gone. */
  async kill(): Promise<void> {
    this.#usable = false;
    this.#signal("SIGKILL");
    await this.#child.status;
    await Promise.allSettled([this.#frames.return(), this.#channel.close(), this.#stderr.done]);
  }

  /** As {@linkcode Executor.kill}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  async #awaitReady(): Promise<void> {
    const timeout = setTimeout(() => this.#signal("SIGKILL"), START_TIMEOUT_MS);
    try {
      const first = await this.#frames.next();
      if (!first.done && first.value.kind === FrameKind.Ready) return;
      await this.kill();
      throw new PlasmError("executor", `Cannot start executor: ${this.#stderr.summary()}`, {
        hint: "Run plasm doctor",
      });
    } finally {
      clearTimeout(timeout);
    }
  }

  /** Sends all of a job; its end is the guest's, whichever comes first. */
  async #send(job: SandboxJob, signal: AbortSignal): Promise<void> {
    try {
      const module = this.#modules.use(job.moduleKey, job.module.length);
      await sendJob(job, { module, write: (bytes) => this.#channel.write(bytes), signal });
    } catch {
      // The process has died: reading its output tells how.
    }
  }

  async #receive(run: RunState, times: { startedAt: number; start: number }): Promise<void> {
    try {
      while (!run.finished) {
        const next = await this.#frames.next();
        if (next.done) {
          const status = await this.#child.status;
          await this.#stderr.done;
          run.died(describeDeath(status, this.#stderr.text()));
        } else await run.take(next.value);
      }
      await run.end(times);
    } catch (error) {
      this.#signal("SIGKILL");
      run.queue.fail(error);
    }
  }

  #signal(signal: "SIGTERM" | "SIGKILL"): void {
    try {
      this.#child.kill(signal);
    } catch {
      // It has ended already.
    }
  }
}

function start(options: ExecutorCommandOptions): Deno.ChildProcess {
  try {
    return startExecutorProcess(options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("executor", `Cannot start executor: ${reason}`, {
      hint: "Run plasm doctor",
      cause: error,
    });
  }
}
