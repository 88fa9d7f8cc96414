/**
 * Lifecycle of local and remote jobs, from admission to the persisted result.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import type { Config } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Signer } from "../../core/mod.ts";
import { abortable, deadline } from "../../util/async/mod.ts";
import { Histogram } from "../../util/mod.ts";
import { type Durability, FINAL_STATES, type JobRecord, type JobStore } from "../store/mod.ts";
import {
  acceptJob,
  type AdmissionRequest,
  type Capacity,
  checkJob,
  checkQueueCapacity,
  type Submission,
} from "./admission.ts";
import {
  type ExecutorSource,
  finishCancelled,
  interruptJob,
  type JobPipe,
  type RunJob,
  type RunOnPeer,
  runQueuedJob,
  type StopReason,
} from "./job_runner.ts";
import { JobQueue, RetryAfterEstimator, type Ticket } from "./queue.ts";

function stoppingError(): PlasmError {
  return new PlasmError("busy", "Cannot accept job: the node is stopping", { retryAfterMs: 5000 });
}

/** Admission, queue and runs of a node. */
export class Jobs {
  /** Seconds from acceptance to end of finished jobs. */
  readonly latency: Histogram = new Histogram();
  readonly #options: JobsOptions;
  readonly #queue: JobQueue;
  readonly #active = new Map<string, ActiveJob>();
  readonly #retryAfter = new RetryAfterEstimator();
  readonly #jobLog: JobLog;
  #config: Config;
  #closing: "open" | "draining" | "closed" = "open";
  #reserved = 0;
  /** When the last job ended, by performance.now(). */
  #idleSince = performance.now();
  #runOnPeer: RunOnPeer | undefined;
  #onLocalJob: () => void = () => {};

  constructor(options: JobsOptions) {
    this.#options = options;
    this.#config = options.config;
    this.#queue = new JobQueue(this.#queueLimits());
    this.#jobLog = new JobLog(options);
  }

  #queueLimits(): { concurrency: number; memoryMb: number } {
    const { concurrency, memory_budget_mb } = this.#config.jobs;
    return {
      concurrency: concurrency === 0 ? navigator.hardwareConcurrency : concurrency,
      memoryMb: memory_budget_mb,
    };
  }

  /** Queue and run figures for metrics and rejections. */
  get load(): { waiting: number; running: number; runningMemoryMb: number; concurrency: number } {
    const { waiting, running, runningMemoryMb } = this.#queue;
    return { waiting, running, runningMemoryMb, concurrency: this.#queueLimits().concurrency };
  }

  /** Whether jobs are accepted. */
  get accepting(): boolean {
    return this.#closing === "open";
  }

  /** Queued and running jobs of one submitter. */
  countOf(submitter: string): number {
    return this.#queue.countOf(submitter);
  }

  /** Sets the runner of jobs that have a target; without it they are rejected. */
  setPeerRunner(run: RunOnPeer): void {
    this.#runOnPeer = run;
  }

  /** Whether no queued or running job needs this machine; jobs on other nodes do not. */
  get isIdle(): boolean {
    return [...this.#active.values()].every(({ job }) => job.target !== null);
  }

  /** Sets what is called when a job is queued that needs this machine, before it starts. */
  setIdleEnd(onLocalJob: () => void): void {
    this.#onLocalJob = onLocalJob;
  }

  /** Applies a changed configuration. */
  reload(config: Config): void {
    this.#config = config;
    this.#queue.setLimits(this.#queueLimits());
    this.#pump();
  }

  #capacity(): Capacity {
    const { waiting, runningMemoryMb } = this.#queue;
    const { concurrency } = this.#queueLimits();
    return {
      config: this.#config.jobs,
      waiting: waiting + this.#reserved,
      runningMemoryMb,
      retryAfterMs: this.#retryAfter.retryAfterMs(waiting, concurrency),
    };
  }

  /**
   * Checks whether a job would be admitted now; returns its queue position.
   *
   * @throws {PlasmError} as {@linkcode Jobs.submit}
   */
  check(request: AdmissionRequest): number {
    if (!this.accepting) throw stoppingError();
    checkQueueCapacity(request.manifest, this.#capacity());
    checkJob(request, this.#capacity());
    return this.#queue.waiting;
  }

  /**
   * Admits a job; resolves once the job has the requested durability.
   *
   * @throws {PlasmError} `over-limit`, `policy`, `not-found`, `bad-module`, `job-memory`, `bad-input`, `queue-full`,
   * `busy`, `state`
   */
  async submit(submission: Submission, options: SubmitJobOptions = {}): Promise<JobRecord> {
    if (!this.accepting) throw stoppingError();
    const { manifest, submitter, target } = submission;
    if (target !== undefined && this.#runOnPeer === undefined) {
      throw new PlasmError("disabled", "Cannot accept job: the network is off", {
        hint: "Set network.enabled and restart, or leave out target",
      });
    }
    checkQueueCapacity(manifest, this.#capacity());
    // Concurrent submissions may arrive in one turn: reserve the slot here.
    this.#reserved++;
    try {
      const { durability = "fsync", pipe } = options;
      const job = await acceptJob(submission, {
        store: this.#options.store,
        capacity: this.#capacity(),
        position: this.#queue.waiting,
        durability,
      });
      this.#enqueue(job, pipe);
      this.#options.log.debug("job-accepted", { job_id: job.id, submitter });
      return job;
    } finally {
      this.#reserved--;
      this.#pump();
    }
  }

  #enqueue(job: JobRecord, pipe?: JobPipe): void {
    const active = activeJob(job, pipe);
    this.#active.set(job.id, active);
    if (job.target === null) this.#onLocalJob();
    this.#queue.push(active.ticket);
  }

  #pump(): void {
    while (this.#closing === "open") {
      const ticket = this.#queue.next();
      if (ticket === undefined) return;
      void this.#run(ticket);
    }
  }

  async #run(ticket: Ticket): Promise<void> {
    const { store, log, signer, run, executors } = this.#options;
    const active = this.#active.get(ticket.id);
    if (active === undefined) return this.#queue.release(ticket);
    const { job, pipe } = active;
    const start = performance.now();
    const sharing = (): boolean => this.#config.jobs.executor_sharing === "submitter";
    const options = {
      store,
      log,
      signer,
      run,
      executors,
      runOnPeer: this.#runOnPeer,
      sharing,
      pipe,
      signal: active.controller.signal,
    };
    let next: "queued" | "ended" = "ended";
    try {
      next = await runQueuedJob(job, options);
      this.#retryAfter.add(performance.now() - start);
    } catch (error) {
      log.error("job-result-lost", { job_id: ticket.id, error: PlasmError.from(error) });
    }
    this.#queue.release(ticket);
    if (next === "queued" && this.#closing === "open") {
      this.#active.delete(ticket.id);
      this.#enqueue(store.get(ticket.id) ?? job);
    } else {
      this.#active.delete(ticket.id);
      if (next === "ended") this.#recordEnd(active);
    }
    active.ended.resolve();
    this.#pump();
  }

  /** Time since the last job ended, in milliseconds; 0 while one is queued or running. */
  get idleMs(): number {
    return this.#active.size + this.#reserved > 0 ? 0 : performance.now() - this.#idleSince;
  }

  #recordEnd({ ticket, since }: ActiveJob): void {
    this.#idleSince = performance.now();
    const latencyMs = Math.round(performance.now() - since);
    this.latency.add(latencyMs / 1000);
    this.#jobLog.add(ticket.id, latencyMs);
  }

  /**
   * Waits a limited time for a job; returns whether it finished. An unfinished job is durable when this resolves.
   *
   * @throws {PlasmError} `state`, `not-found` if the job could not be stored
   */
  async waitForEnd(id: string, { timeoutMs, signal }: WaitForJobOptions): Promise<boolean> {
    const active = this.#active.get(id);
    if (active === undefined) return true;
    const error = (): Error => new Error("The job has not ended");
    await deadline(abortable(this.ended(id), { signal, error }), { ms: timeoutMs, error })
      .catch(() => {}); // ended() never rejects
    const hasEnded = !this.#active.has(id);
    const { store } = this.#options;
    await store.acknowledged(active.job, { durability: hasEnded ? "buffered" : "fsync" });
    return hasEnded;
  }

  /** Resolves once a job is neither queued nor running. */
  async ended(id: string): Promise<void> {
    // A job that is queued again after its executor failed has another entry.
    for (let active; (active = this.#active.get(id)) !== undefined;) await active.ended.promise;
  }

  /** Number of jobs that start before a queued one. */
  position(job: JobRecord): number | undefined {
    const active = this.#active.get(job.id);
    return active === undefined ? undefined : this.#queue.position(active.ticket);
  }

  /**
   * Cancels a queued or running job and waits for its end. A finished job is unchanged.
   *
   * @throws {PlasmError} `not-found`, `state`
   */
  async cancel(id: string): Promise<JobRecord> {
    const { store, signer } = this.#options;
    const active = this.#active.get(id);
    const job = store.get(id);
    if (job === undefined) throw new PlasmError("not-found", `Cannot cancel job: no job ${id}`);
    if (active === undefined) {
      if (FINAL_STATES.includes(job.state)) return job;
      throw new PlasmError("busy", `Cannot cancel job: ${id} is being accepted`, {
        retryAfterMs: 100,
      });
    }
    if (this.#queue.remove(active.ticket)) {
      try {
        await finishCancelled(job, { store, signer });
      } catch (error) {
        this.#queue.push(active.ticket);
        throw error;
      }
      this.#active.delete(id);
      this.#recordEnd(active);
      active.ended.resolve();
    } else {
      active.controller.abort("cancel" satisfies StopReason);
      await active.ended.promise;
    }
    return store.get(id) ?? job;
  }

  /**
   * Recovers jobs of an earlier process: queued jobs stay queued; running ones are re-run if their manifest allows,
   * else interrupted.
   *
   * @throws {PlasmError} `state`
   */
  async recover(): Promise<{ queued: number; rerun: number; interrupted: number }> {
    const counts = { queued: 0, rerun: 0, interrupted: 0 };
    for (const job of this.#options.store.unfinished()) {
      if (job.state === "running" || job.piped) {
        const next = await interruptJob(this.#options.store, job);
        counts[next === "queued" ? "rerun" : "interrupted"]++;
        if (next === "ended") continue;
      } else counts.queued++;
      this.#enqueue(this.#options.store.get(job.id) ?? job);
    }
    this.#pump();
    return counts;
  }

  /** Interrupts the queued ones of the given jobs. */
  async #interrupt(jobs: readonly ActiveJob[]): Promise<void> {
    for (const { job, ticket, ended } of jobs) {
      if (!this.#queue.remove(ticket)) continue;
      await interruptJob(this.#options.store, job).catch(() => {}); // recover() interrupts it at the next start
      this.#active.delete(job.id);
      ended.resolve();
    }
  }

  /**
   * Stops admission and starts, waits for running jobs, and stops them after the grace period or when the signal
   * aborts. Queued jobs stay in the store.
   */
  async close(options: { graceMs: number; signal?: AbortSignal | undefined }): Promise<void> {
    if (this.#closing === "closed") return;
    this.#closing = "draining";
    const running = [...this.#active.values()].filter(({ ticket }) =>
      this.#queue.position(ticket) === undefined
    );
    const drained = Promise.all(running.map(({ ended }) => ended.promise));
    // Piped jobs cannot outlive their connection.
    await this.#interrupt([...this.#active.values()].filter(({ job }) => job.piped));
    const { graceMs: ms, signal } = options;
    const error = (): Error => new Error("Jobs are still running");
    try {
      await deadline(abortable(drained, { signal, error }), { ms, error });
    } catch {
      for (const { controller } of running) controller.abort("shutdown" satisfies StopReason);
      await drained;
    }
    this.#jobLog.flush();
    this.#closing = "closed";
  }
}

/** Options of `Jobs`. */
export interface JobsOptions {
  store: JobStore;
  config: Config;
  signer: Signer;
  run: RunJob;
  executors?: ExecutorSource | undefined;
  log: Logger;
}

/** Options of `Jobs.submit()`. */
export interface SubmitJobOptions {
  /**
   * Durability of the job when `submit()` resolves. A buffered job becomes durable if the wait for its end times out;
   * otherwise its client receives the complete result.
   * @default {"fsync"}
   */
  durability?: Durability | undefined;
  /** Connection to the client of a piped job. @default {none} */
  pipe?: JobPipe | undefined;
}

/** Options of `Jobs.waitForEnd()`. */
export interface WaitForJobOptions {
  /** Time limit, in milliseconds. */
  timeoutMs: number;
  /** Aborts the wait. */
  signal: AbortSignal;
}

/** Queued or running job. */
export interface ActiveJob {
  /** Queue ticket. */
  ticket: Ticket;
  /** Record at the time it was queued. */
  job: JobRecord;
  /** Time of acceptance, by performance.now(). */
  since: number;
  /** Client of a piped job. */
  pipe: JobPipe | undefined;
  /** Stops it. */
  controller: AbortController;
  /** Resolves when the job finishes or is re-queued. */
  ended: PromiseWithResolvers<void>;
}

/** Creates the state of a queued job. */
export function activeJob(job: JobRecord, pipe?: JobPipe): ActiveJob {
  const { id, submitter, priority, createdAt, manifest, target } = job;
  // A remote job uses no memory of this node.
  const memoryMb = target === null ? manifest.resources.memory_mb : 0;
  return {
    ticket: { id, submitter, priority, memoryMb, createdAt },
    job,
    // Jobs of an earlier process only have a wall-clock time, which may be in the future.
    since: performance.now() - Math.max(0, Date.now() - createdAt),
    pipe,
    controller: new AbortController(),
    ended: Promise.withResolvers(),
  };
}

/** Maximum delay of a log line, in ms; long enough to send the response first. */
const LATER_MS = 5;

/** Options of {@linkcode JobLog}. */
export interface JobLogOptions {
  store: Pick<JobStore, "get">;
  log: Logger;
}

/** Batches log lines of finished jobs. */
export class JobLog {
  readonly #options: JobLogOptions;
  readonly #waiting: { id: string; latencyMs: number }[] = [];
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: JobLogOptions) {
    this.#options = options;
  }

  /** Queues the log line of a finished job; `latencyMs` counts from acceptance. */
  add(id: string, latencyMs: number): void {
    this.#waiting.push({ id, latencyMs });
    this.#timer ??= setTimeout(() => this.flush(), LATER_MS);
  }

  /** Writes all queued lines. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const { store, log } = this.#options;
    for (const { id, latencyMs } of this.#waiting.splice(0)) {
      log.info("job-ended", { job_id: id, ...endOf(store, id), latency_ms: latencyMs });
    }
  }
}

/** Log fields from the store; reduced when the job was deleted or cannot be read. */
function endOf(store: JobLogOptions["store"], id: string): Record<string, unknown> {
  try {
    const job = store.get(id);
    return job === undefined ? { state: "deleted" } : {
      submitter: job.submitter,
      state: job.state,
      status: job.status ?? undefined,
      exit_code: job.exitCode ?? undefined,
      cpu_ms: job.receipt?.run.usage.cpu_time_ms,
      output_bytes: (job.receipt?.claim.stdout.bytes ?? job.stdoutBytes) +
        (job.receipt?.claim.stderr.bytes ?? job.stderrBytes) + job.filesBytes,
      error_code: job.error?.code,
    };
  } catch (error) {
    return { state: "unknown", error: PlasmError.from(error) };
  }
}
