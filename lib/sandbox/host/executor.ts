/**
 * The parent's side of one executor process: starts it, hands it jobs, reads its events, and kills
 * it when it does not keep to its deadline.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { ChildConnection } from "./child_connection.ts";
import { type ExecutorCommandOptions, spawnExecutor } from "./spawn/mod.ts";
import { ChildListener } from "./ipc_listener.ts";
import {
  type Frame,
  FrameKind,
  MAX_REPORT_BYTES,
  MAX_STREAM_BYTES,
  readFrames,
} from "../ipc/mod.ts";
import { describeExitStatus, StderrTail } from "./exit_status.ts";
import { ExecutorStart } from "./executor_start.ts";
import { sendAhead, sendJob, sendStdin } from "./job_writer.ts";
import { ModuleCache } from "./module_cache.ts";
import { untilAborted } from "../../util/async/mod.ts";
import { JobResultReader } from "./job_result_reader.ts";
import type { JobStatus, SandboxEvent, SandboxJob } from "../job_types.ts";

/** How long a process that was told to stop its job may take to say its last, in ms. */
const LAST_WORDS_MS = 60;

/** How late a process may be at its deadline before it is told, in ms: with the above under 100. */
const LATE_MS = 35;

/** How long a process that stops its job by itself may take to say its last, in ms. */
const STOPPING_MS = 1000;

const CANCELLED = "Job stopped: it was cancelled";

const MAX_BYTES: Record<number, number> = {
  [FrameKind.Alive]: 0,
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
  /**
   * Whether it is for one job alone: it is killed as soon as that has ended.
   * @default {false}
   */
  once?: boolean | undefined;
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
  readonly #channel: ChildConnection;
  readonly #frames: AsyncGenerator<Frame, void, void>;
  readonly #stderr: StderrTail;
  readonly #modules = new ModuleCache();
  readonly #maxMemoryBytes: number;
  readonly #once: boolean;
  readonly #start: ExecutorStart;
  #usable = true;
  /** Of a job that was sent before the process was ready. */
  #ahead: Promise<void> | undefined;
  #hasEnded = false;

  /**
   * Starts the process; {@linkcode Executor.ready} tells when it waits for a job.
   *
   * @throws {PlasmError} `executor` when the system gives no process.
   */
  constructor(options: ExecutorOptions = {}) {
    this.#maxMemoryBytes = options.maxMemoryBytes ?? 4 * 2 ** 30;
    this.#once = options.once ?? false;
    const { socketDir } = options;
    const door = socketDir === undefined ? undefined : ChildListener.open(socketDir);
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
    this.#channel = new ChildConnection(this.#child, door);
    this.#frames = readFrames(this.#channel.read(), {
      maxBytes: (kind) => MAX_BYTES[kind],
      inParts: [FrameKind.Stdout, FrameKind.Stderr],
    });
    this.#stderr = new StderrTail(this.#child.stderr);
    this.#start = new ExecutorStart({
      frames: this.#frames,
      end: () => this.#signal("SIGKILL"),
      reason: () => this.kill().then(() => this.#stderr.summary()),
    });
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
   * Sends all but standard input of the job that will be run first, so that a process which still starts is
   * not waited for with it. It uses pipes.
   */
  sendAhead(job: SandboxJob): void {
    const options = { module: this.#moduleHeader(job), write: this.#write };
    this.#ahead = sendAhead(job, options).catch(() => {}); // it has died: reading tells how
  }

  /** Resolves once the process has begun, confined as it was to be; rejects as {@linkcode Executor.ready}. */
  async alive({ signal }: ExecutorReadyOptions = {}): Promise<void> {
    await untilAborted(this.#start.alive(), signal);
  }

  /**
   * Resolves once the process waits for a job.
   *
   * @throws {PlasmError} `executor` when it does not start, `interrupted` on abort.
   */
  async ready({ signal }: ExecutorReadyOptions = {}): Promise<void> {
    await untilAborted(this.#start.ready(), signal);
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
    const stdin = new AbortController();
    let sending = this.#ahead && this.#send(job, stdin.signal);
    try {
      await this.ready({ signal });
    } catch (error) {
      stdin.abort("over");
      await sending;
      if (!signal?.aborted) throw error;
      return yield* this.#cancelled();
    }
    const startedAt = Date.now();
    const start = performance.now();
    const { lent } = this.#channel;
    const run = new JobResultReader(
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
    sending ??= this.#send(job, stdin.signal);
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
      if (options.lendsOutput === true) lent.forget();
      if (run.refused && job.moduleKey !== undefined) this.#modules.forget(job.moduleKey);
      this.#usable = run.reusable && !this.#hasEnded && !this.#once;
      if (!this.#usable) await this.kill();
    }
  }

  /** The end of a job that was cancelled while its process started. */
  async *#cancelled(): AsyncGenerator<SandboxEvent, void, void> {
    await this.kill();
    const startedAt = Date.now();
    const run = new JobResultReader(0);
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

  #write = (bytes: Uint8Array): Promise<void> => this.#channel.write(bytes);

  #moduleHeader({ moduleKey, module }: SandboxJob): ReturnType<ModuleCache["use"]> {
    return this.#modules.use(moduleKey, module.length);
  }

  /** Sends all of a job; its end is the guest's, whichever comes first. */
  async #send(job: SandboxJob, signal: AbortSignal): Promise<void> {
    try {
      const write = this.#write;
      if (this.#ahead === undefined) {
        await sendJob(job, { module: this.#moduleHeader(job), write, signal });
      } else {
        await this.#ahead;
        this.#ahead = undefined;
        await sendStdin(job, { write, signal });
      }
    } catch {
      // The process has died: reading its output tells how.
    }
  }

  async #receive(run: JobResultReader, times: { startedAt: number; start: number }): Promise<void> {
    try {
      while (!run.finished) {
        const next = await this.#frames.next();
        if (next.done) {
          const status = await this.#child.status;
          await this.#stderr.done;
          run.died(describeExitStatus(status, this.#stderr.text()));
        } else await run.take(next.value);
      }
      // Its end takes longer than all that is still to be done here.
      if (this.#once) this.#signal("SIGKILL");
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
    return spawnExecutor(options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new PlasmError("executor", `Cannot start executor: ${reason}`, {
      hint: "Run plasm doctor",
      cause: error,
    });
  }
}
