/**
 * Lifecycle of local and remote jobs, from admission to the persisted result.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Signer } from "../../core/mod.ts";
import { Histogram } from "../../util/mod.ts";
import { type Durability, FINAL_STATES, type JobRecord, type JobStore } from "../store/mod.ts";
import { type ActiveJob, activeJob, type ActiveJobOptions, type JobPipe } from "./active_job.ts";
import {
  acceptJob,
  type AdmissionRequest,
  type Capacity,
  checkJob,
  checkQueueCapacity,
  type Submission,
} from "./admission.ts";
import { JobLog } from "./job_log.ts";
import {
  type ExecutorSource,
  finishCancelled,
  interruptJob,
  type RunJob,
  type RunOnPeer,
  runQueuedJob,
  type StopReason,
} from "./job_runner.ts";
import { JobQueue, type Ticket } from "./queue.ts";
import { RetryAfterEstimator } from "./retry_after.ts";
import type { Logger } from "@logtape/logtape";

function stopping(): PlasmError {
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
  #runOnPeer: RunOnPeer | undefined;

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

  /** Jobs of one submitter that wait or run. */
  countOf(submitter: string): number {
    return this.#queue.countOf(submitter);
  }

  /** Sets what runs jobs that have a target; without it they are refused. */
  setPeerRunner(run: RunOnPeer): void {
    this.#runOnPeer = run;
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
    if (!this.accepting) throw stopping();
    checkQueueCapacity(request.manifest, this.#capacity());
    checkJob(request, this.#capacity());
    return this.#queue.waiting;
  }

  /**
   * Admits a job. It is durable once this resolves.
   *
   * @throws {PlasmError} `over-limit`, `policy`, `not-found`, `bad-input`, `queue-full`, `busy`, `state`
   */
  async submit(submission: Submission, options: SubmitJobOptions = {}): Promise<JobRecord> {
    if (!this.accepting) throw stopping();
    const { manifest, submitter, target } = submission;
    if (target !== undefined && this.#runOnPeer === undefined) {
      throw new PlasmError("no-peer", "Cannot accept job: the network is off", {
        hint: "Set network.enabled and restart, or leave out target",
        retryable: false,
      });
    }
    checkQueueCapacity(manifest, this.#capacity());
    // Concurrent submissions may arrive in one turn: reserve the slot here.
    this.#reserved++;
    try {
      const { durability = "fsync", pipe } = options;
      const { record, saved } = await acceptJob(submission, {
        store: this.#options.store,
        capacity: this.#capacity(),
        position: this.#queue.waiting,
        durability,
      });
      if (durability !== "buffered") await saved;
      else saved.catch(() => {}); // told by untilOver(), or when the job's end is saved
      this.#enqueue(record, { saved: durability === "buffered" ? saved : undefined, pipe });
      this.#options.log.debug("job-accepted", { job_id: record.id, submitter });
      return record;
    } finally {
      this.#reserved--;
      this.#pump();
    }
  }

  #enqueue(job: JobRecord, options?: ActiveJobOptions): void {
    const active = activeJob(job, options);
    this.#active.set(job.id, active);
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
    const { job, saved, pipe } = active;
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
      saved,
      pipe,
      signal: active.controller.signal,
    };
    let next: "queued" | "over" = "over";
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
      if (next === "over") this.#noteEnd(active);
    }
    active.over.resolve();
    this.#pump();
  }

  #noteEnd({ ticket, since }: ActiveJob): void {
    const latencyMs = Math.round(performance.now() - since);
    this.latency.add(latencyMs / 1000);
    this.#jobLog.add(ticket.id, latencyMs);
  }

  /**
   * Waits a limited time for a job; returns whether it finished. An unfinished job is durable by then.
   *
   * @throws {PlasmError} `state`, `not-found` when it could not be stored and so never was
   */
  async untilOver(id: string, { timeoutMs, signal }: WaitForJobOptions): Promise<boolean> {
    const active = this.#active.get(id);
    if (active === undefined) return true;
    const late = Promise.withResolvers<void>();
    const onLate = () => late.resolve();
    const timer = setTimeout(onLate, timeoutMs);
    signal.addEventListener("abort", onLate);
    if (signal.aborted) onLate();
    await Promise.race([active.over.promise, late.promise]);
    clearTimeout(timer);
    signal.removeEventListener("abort", onLate);
    const isOver = !this.#active.has(id);
    if (!isOver) await this.#options.store.sync();
    await active.saved;
    return isOver;
  }

  /** Resolves once a job is neither queued nor running. */
  async over(id: string): Promise<void> {
    await this.#active.get(id)?.over.promise;
  }

  /** How many jobs start before a waiting one. */
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
      this.#noteEnd(active);
      active.over.resolve();
    } else {
      active.controller.abort("cancel" satisfies StopReason);
      await active.over.promise;
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
        if (next === "over") continue;
      } else counts.queued++;
      this.#enqueue(this.#options.store.get(job.id) ?? job);
    }
    this.#pump();
    return counts;
  }

  /** Ends those of the jobs that wait. */
  async #interrupt(jobs: readonly ActiveJob[]): Promise<void> {
    for (const { job, ticket, over } of jobs) {
      if (!this.#queue.remove(ticket)) continue;
      await interruptJob(this.#options.store, job).catch(() => {}); // then it is at the next start
      this.#active.delete(job.id);
      over.resolve();
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
    const all = Promise.all(running.map(({ over }) => over.promise)).then(() => {});
    // Piped jobs cannot outlive their connection.
    await this.#interrupt([...this.#active.values()].filter(({ job }) => job.piped));
    const stop = (): void => {
      for (const { controller } of running) controller.abort("shutdown" satisfies StopReason);
    };
    const timer = setTimeout(stop, options.graceMs);
    options.signal?.addEventListener("abort", stop);
    if (options.signal?.aborted) stop();
    await all;
    clearTimeout(timer);
    options.signal?.removeEventListener("abort", stop);
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
   * What the job survives when this resolves. A buffered job survives a power failure once the wait for its end
   * times out; its client has the complete result before that.
   * @default {"fsync"}
   */
  durability?: Durability | undefined;
  /** Gives the job its input and takes its output, where it is submitted as piped. @default {none} */
  pipe?: JobPipe | undefined;
}

/** Options of `Jobs.untilOver()`. */
export interface WaitForJobOptions {
  /** How long to wait, in milliseconds. */
  timeoutMs: number;
  /** Aborts the wait. */
  signal: AbortSignal;
}
