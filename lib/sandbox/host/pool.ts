/**
 * Warm executors: a job gets one that has started already, and none serves two tenants.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { Executor } from "./executor.ts";
import { untilAborted } from "../../util/async/mod.ts";
import { warmUp } from "./warm_up.ts";

/** How many executors are tried for a job before it is told that none can be had. */
const MAX_STARTS = 3;

/** How long an executor that is kept for its tenant may idle, in ms. */
const DEFAULT_IDLE_MS = 60_000;

/** How long a job that has got a warm executor may run before another is started, in ms. */
const REFILL_MS = 30;

/** The same once it has given it back, in ms: its answer goes first, which a start holds up. */
const ANSWER_MS = 5;

/** Options of {@linkcode ExecutorPool}. */
export interface ExecutorPoolOptions {
  /**
   * Executors kept started that have served nobody yet.
   * @default {1}
   */
  warm?: number;
  /**
   * Executors kept for the tenants whose jobs they ran, all together; 0 gives every job a process
   * of its own, at the price of a process start a job.
   * @default {0}
   */
  maxIdle?: number;
  /**
   * How long a kept executor may idle, in ms.
   * @default {60000}
   */
  idleMs?: number;
  /**
   * Memory that a job may use at most, in bytes.
   * @default {4 GiB}
   */
  maxMemoryBytes?: number;
  /**
   * Where executors find this process; see {@linkcode Executor}.
   * @default {pipes}
   */
  socketDir?: string | undefined;
}

/** Options of {@linkcode ExecutorPool.acquire}. */
export interface AcquireOptions {
  /**
   * Whose job it is: an executor is only ever used again for the same tenant.
   * @default {nobody's: never used again}
   */
  tenant?: string | undefined;
  /** Gives up waiting. @default {never} */
  signal?: AbortSignal | undefined;
}

/** What a pool has, for metrics. */
export interface PoolStats {
  /** Started or starting, and used by nobody yet. */
  warm: number;
  /** Running a job. */
  busy: number;
  /** Kept for a tenant. */
  idle: number;
}

interface Warm {
  executor: Executor;
  /** Resolves once it is ready and has run {@linkcode warmUp}. */
  prepared: Promise<void>;
}

interface Idle {
  executor: Executor;
  tenant: string;
  timer: ReturnType<typeof setTimeout>;
}

/** Starts, keeps, hands out and ends executors. */
export class ExecutorPool implements AsyncDisposable {
  readonly #options: Required<Omit<ExecutorPoolOptions, "socketDir">>;
  readonly #socketDir: string | undefined;
  readonly #warm: Warm[] = [];
  readonly #busy = new Map<Executor, string | undefined>();
  readonly #ending = new Set<Promise<void>>();
  #idle: Idle[] = [];
  #refilling: ReturnType<typeof setTimeout> | undefined;
  #closed = false;

  /** Starts the warm executors. */
  constructor(options: ExecutorPoolOptions = {}) {
    this.#options = {
      warm: options.warm ?? 1,
      maxIdle: options.maxIdle ?? 0,
      idleMs: options.idleMs ?? DEFAULT_IDLE_MS,
      maxMemoryBytes: options.maxMemoryBytes ?? 4 * 2 ** 30,
    };
    this.#socketDir = options.socketDir;
    this.#refill();
  }

  /** What the pool has now. */
  get stats(): PoolStats {
    return { warm: this.#warm.length, busy: this.#busy.size, idle: this.#idle.length };
  }

  /**
   * Hands out an executor that is ready.
   *
   * @throws {PlasmError} `executor` when none can be started, `interrupted` on abort.
   */
  async acquire(options: AcquireOptions = {}): Promise<Executor> {
    for (let start = 1;; start++) {
      try {
        return await this.#acquireOnce(options);
      } catch (error) {
        // When memory runs out the kernel takes those first that wait: nothing has run in them yet.
        const { code } = PlasmError.from(error);
        if (this.#closed || code !== "executor" || start === MAX_STARTS) throw error;
      }
    }
  }

  async #acquireOnce({ tenant, signal }: AcquireOptions): Promise<Executor> {
    if (this.#closed) throw new PlasmError("executor", "Cannot run job: the pool is closed");
    const idle = this.#takeIdle(tenant);
    const warm = idle === undefined ? this.#warm.shift() : undefined;
    const executor = idle ?? warm?.executor ?? this.#start();
    this.#busy.set(executor, tenant);
    // Starting a process holds this one up, and takes a core from the job that has just got its own.
    this.#refilling ??= setTimeout(() => this.#refill(), REFILL_MS);
    try {
      if (warm === undefined) await executor.ready({ signal });
      else await untilAborted(warm.prepared, signal);
      if (executor.usable) return executor;
      throw new PlasmError("executor", "Cannot run job: the executor has died");
    } catch (error) {
      this.#busy.delete(executor);
      this.#end(executor);
      throw error;
    }
  }

  /** Takes an executor back after its job, to keep it for its tenant or to end it. */
  release(executor: Executor): void {
    const tenant = this.#busy.get(executor);
    if (!this.#busy.delete(executor)) return;
    if (this.#refilling !== undefined) {
      clearTimeout(this.#refilling);
      this.#refilling = setTimeout(() => this.#refill(), ANSWER_MS);
    }
    const { maxIdle, idleMs } = this.#options;
    if (this.#closed || !executor.usable || tenant === undefined || maxIdle === 0) {
      return this.#end(executor);
    }
    const idle: Idle = {
      executor,
      tenant,
      timer: setTimeout(() => {
        this.#forget(idle);
        this.#end(executor);
      }, idleMs),
    };
    this.#idle.push(idle);
    if (this.#idle.length > maxIdle) {
      const oldest = this.#idle[0]!;
      this.#forget(oldest);
      this.#end(oldest.executor);
    }
  }

  /** Ends every executor, also those that run jobs. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#refilling);
    for (const idle of [...this.#idle]) {
      this.#forget(idle);
      this.#end(idle.executor);
    }
    for (
      const executor of [
        ...this.#warm.splice(0).map((warm) => warm.executor),
        ...this.#busy.keys(),
      ]
    ) this.#end(executor);
    await Promise.all(this.#ending);
  }

  /** As {@linkcode ExecutorPool.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(): Executor {
    return new Executor({
      maxMemoryBytes: this.#options.maxMemoryBytes,
      socketDir: this.#socketDir,
    });
  }

  #refill(): void {
    clearTimeout(this.#refilling);
    this.#refilling = undefined;
    while (!this.#closed && this.#warm.length < this.#options.warm) {
      let executor: Executor;
      try {
        executor = this.#start();
      } catch {
        // No process to be had now: the job at hand has one, the next one's acquire() tries again.
        return;
      }
      const prepared = executor.ready().then(() => warmUp(executor));
      // What it says is for acquire(), where somebody waits for it.
      prepared.catch(() => {});
      const warm = { executor, prepared };
      this.#warm.push(warm);
      // One that dies while it waits must not be handed out: its job would be blamed.
      executor.ended.then(() => this.#dropWarm(warm));
    }
  }

  #dropWarm(warm: Warm): void {
    const at = this.#warm.indexOf(warm);
    if (at >= 0) this.#warm.splice(at, 1);
  }

  #takeIdle(tenant: string | undefined): Executor | undefined {
    // The newest first: its caches are the warmest.
    const idle = this.#idle.findLast((kept) => kept.tenant === tenant && kept.executor.usable);
    if (idle === undefined) return undefined;
    this.#forget(idle);
    return idle.executor;
  }

  #forget(idle: Idle): void {
    clearTimeout(idle.timer);
    this.#idle = this.#idle.filter((kept) => kept !== idle);
  }

  #end(executor: Executor): void {
    const ending = executor.kill().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}
