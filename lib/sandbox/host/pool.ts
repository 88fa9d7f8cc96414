/**
 * Pools executors: starts them in advance, and reuses one for jobs of the same tenant only (docs/adr/0011).
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { abortable } from "../../util/async/mod.ts";
import type { ExecutorJob } from "../job_types.ts";
import { Executor } from "./executor.ts";
import { stoppedWaiting } from "./executor_process.ts";

/** Number of executors that are tried for a job. */
const MAX_STARTS = 3;

/** Default time after which an idle executor is ended, in milliseconds. */
const DEFAULT_IDLE_MS = 60_000;

/** Default of {@linkcode ExecutorPoolOptions.warmModuleBytes}: several programs such as yosys (69 MB) and clang (75 MB). */
const POOL_WARM_MODULE_BYTES = 256 * 2 ** 20;

/** Delay between the acquisition of a warm executor and the start of its replacement, in milliseconds. */
const REFILL_DELAY_MS = 30;

/** Delay between the release of an executor and that start, in milliseconds: the job's result is sent first. */
const REFILL_AFTER_RELEASE_MS = 5;

/** Number of warm-up runs: after these, another run takes as long as the hundredth. */
const WARM_UP_RUNS = 12;

const MIB = 2 ** 20;

/**
 * Reads 16 bytes of stdin, writes them to stdout and exits; the test has its text. Its other functions have each
 * kind of instruction that the reordering parses, so that this code is compiled too.
 */
export const WARM_UP_MODULE: Readonly<Uint8Array> = Uint8Array.fromBase64(
  "AGFzbQEAAAABFQRgAX8Bf2AEf39/fwF/YAF/AGAAAAJnAxZ3YXNpX3NuYXBzaG90X3ByZXZpZXcxB2ZkX3JlYWQA" +
    "ARZ3YXNpX3NuYXBzaG90X3ByZXZpZXcxCGZkX3dyaXRlAAEWd2FzaV9zbmFwc2hvdF9wcmV2aWV3MQlwcm9jX2V4" +
    "aXQAAgMFBAAAAwMEBQFwAQICBQMBAAIGBgF/AUEACwcTAgZtZW1vcnkCAAZfc3RhcnQABgkIAQBBAAsCAwQKtgEE" +
    "IwEBfgJAA0AgAEUNASABIACtfCEBIABBAWshAAwACwsgAacLQgACQAJAAkAgAA4CAgEAC0QAAAAAAAD4P/wCDwtB" +
    "Bw8LQcAAQQBBEPwLAEMAAAAAQwAAgD9dBH9BwAAtAAAFPwALCxAAQQBAABpBAUECIwAbJAALPAAQBRAFQQQQAxpB" +
    "AkEBEQAAGkEAQYAINgIAQQRBEDYCAEEAQQBBAUEIEAAaQQFBAEEBQQgQARpBABACCwsLAQBBgAELBHdhcm0=",
);

/** The job that prepares an executor, so that the first job of a tenant runs compiled code. */
const WARM_UP_JOB: ExecutorJob = {
  module: WARM_UP_MODULE,
  args: [],
  env: {},
  stdin: new Uint8Array(16),
  isWarmUp: true,
  limits: {
    memoryBytes: MIB,
    wallTimeMs: 60_000,
    cpuTimeMs: 60_000,
    outputBytes: MIB,
    fsBytes: MIB,
    fsInodes: 100,
    openFds: 100,
    moduleBytes: MIB,
    outputFilesBytes: 0,
  },
};

/** Runs the warm-up job several times; rejects as `Executor.run()`. */
export async function warmUp(executor: Executor): Promise<void> {
  for (let run = 0; run < WARM_UP_RUNS; run++) {
    for await (const _ of executor.run(WARM_UP_JOB));
  }
}

/** Options of {@linkcode ExecutorPool}. */
export interface ExecutorPoolOptions {
  /**
   * Number of executors that are started in advance.
   * @default {1}
   */
  warm?: number;
  /**
   * Maximum number of idle executors that are retained for the tenants whose jobs they ran. With 0, every job has
   * its own process.
   * @default {0}
   */
  maxIdle?: number;
  /**
   * Time after which an idle executor is ended, in milliseconds.
   * @default {60000}
   */
  idleMs?: number;
  /**
   * Maximum memory of a job, in bytes.
   * @default {4 GiB}
   */
  maxMemoryBytes?: number;
  /**
   * Maximum size of the modules that idle executors keep compiled, all together, in bytes of WebAssembly; one executor
   * keeps as much at most. Beyond it the least recently used idle executor ends.
   * @default {256 MiB}
   */
  warmModuleBytes?: number;
  /**
   * Private directory for the sockets of executors; see {@linkcode Executor}.
   * @default {pipes}
   */
  socketDir?: string | undefined;
}

/** Options of {@linkcode ExecutorPool.acquire}. */
export interface AcquireOptions {
  /**
   * Tenant of the job; an executor is reused for jobs of the same tenant only.
   * @default {none: the executor is not reused}
   */
  tenant?: string | undefined;
  /** Aborts waiting. @default {never} */
  signal?: AbortSignal | undefined;
}

/** Number of executors in a pool, for metrics. */
export interface PoolStats {
  /** Started in advance, and not used yet. */
  warm: number;
  /** Running a job. */
  busy: number;
  /** Retained for a tenant. */
  idle: number;
}

/** An executor that is started in advance. */
interface Warm {
  executor: Executor;
  /** Resolves when it is ready and has run {@linkcode warmUp}. */
  prepared: Promise<void>;
}

/** An executor that is retained for its tenant. */
interface Idle {
  executor: Executor;
  tenant: string;
  timer: ReturnType<typeof setTimeout>;
}

/**
 * Pool of executors.
 *
 * @example
 * ```ts
 * import { runJob } from "@plasm/plasm";
 * import { ExecutorPool } from "@plasm/plasm/executor";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * await using pool = new ExecutorPool({ warm: 1, maxIdle: 2 });
 * const executor = await pool.acquire({ tenant: "alice" });
 * try {
 *   const { outcome } = await runJob(module, { executor });
 *   assertEquals(outcome.status, "exited");
 * } finally {
 *   // Retained for other jobs of alice.
 *   pool.release(executor);
 * }
 * assertEquals(pool.stats.idle, 1);
 * ```
 */
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
      warmModuleBytes: options.warmModuleBytes ?? POOL_WARM_MODULE_BYTES,
    };
    this.#socketDir = options.socketDir;
    this.#refill();
  }

  /** Current number of executors. */
  get stats(): PoolStats {
    return { warm: this.#warm.length, busy: this.#busy.size, idle: this.#idle.length };
  }

  /**
   * Returns an executor that is ready, which must be passed to {@linkcode ExecutorPool.release} after its job.
   *
   * @throws {PlasmError} `executor` if none can be started, `interrupted` on abort
   */
  async acquire(options: AcquireOptions = {}): Promise<Executor> {
    for (let start = 1;; start++) {
      try {
        return await this.#acquireOnce(options);
      } catch (error) {
        // When memory runs out, the kernel kills waiting executors first: no job has run in them yet.
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
    // Starting a process blocks this one and uses a core that the job needs.
    this.#refilling ??= setTimeout(() => this.#refill(), REFILL_DELAY_MS);
    try {
      if (warm === undefined) await executor.ready({ signal });
      else await abortable(warm.prepared, { signal, error: stoppedWaiting });
      if (executor.usable) return executor;
      throw new PlasmError("executor", "Cannot run job: the executor has ended");
    } catch (error) {
      this.#busy.delete(executor);
      this.#end(executor);
      throw error;
    }
  }

  /** Retains an executor for its tenant after its job, or ends it. */
  release(executor: Executor): void {
    const tenant = this.#busy.get(executor);
    if (!this.#busy.delete(executor)) return;
    if (this.#refilling !== undefined) {
      clearTimeout(this.#refilling);
      this.#refilling = setTimeout(() => this.#refill(), REFILL_AFTER_RELEASE_MS);
    }
    const { maxIdle, idleMs } = this.#options;
    if (this.#closed || !executor.usable || tenant === undefined || maxIdle === 0) {
      return this.#end(executor);
    }
    const idle: Idle = {
      executor,
      tenant,
      timer: setTimeout(() => {
        this.#removeIdle(idle);
        this.#end(executor);
      }, idleMs),
    };
    this.#idle.push(idle);
    this.#evictIdle();
  }

  /** Ends the least recently used idle executors beyond the limits of number and of compiled modules. */
  #evictIdle(): void {
    const { maxIdle, warmModuleBytes } = this.#options;
    const isOver = (): boolean => {
      const bytes = this.#idle.reduce((sum, { executor }) => sum + executor.warmModuleBytes, 0);
      return this.#idle.length > maxIdle || bytes > warmModuleBytes;
    };
    while (this.#idle.length > 0 && isOver()) {
      const oldest = this.#idle[0]!;
      this.#removeIdle(oldest);
      this.#end(oldest.executor);
    }
  }

  /** Ends all executors, including those that run jobs. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#refilling);
    for (const idle of [...this.#idle]) {
      this.#removeIdle(idle);
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

  /** Same as {@linkcode ExecutorPool.close}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #start(): Executor {
    return new Executor({
      maxMemoryBytes: this.#options.maxMemoryBytes,
      warmModuleBytes: this.#options.warmModuleBytes,
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
        // The system cannot start a process now; the next acquire() tries again and reports the error.
        return;
      }
      const prepared = executor.ready().then(() => warmUp(executor));
      // An error is reported by acquire().
      prepared.catch(() => {});
      const warm = { executor, prepared };
      this.#warm.push(warm);
      // An executor that ends while it waits must not be acquired: its job would be blamed.
      executor.ended.then(() => this.#dropWarm(warm));
    }
  }

  #dropWarm(warm: Warm): void {
    const at = this.#warm.indexOf(warm);
    if (at >= 0) this.#warm.splice(at, 1);
  }

  #takeIdle(tenant: string | undefined): Executor | undefined {
    // Prefer the most recently used one, whose memory is the most likely to be cached.
    const idle = this.#idle.findLast((other) => other.tenant === tenant && other.executor.usable);
    if (idle === undefined) return undefined;
    this.#removeIdle(idle);
    return idle.executor;
  }

  #removeIdle(idle: Idle): void {
    clearTimeout(idle.timer);
    this.#idle = this.#idle.filter((other) => other !== idle);
  }

  #end(executor: Executor): void {
    const ending = executor.kill().finally(() => this.#ending.delete(ending));
    this.#ending.add(ending);
  }
}
