/**
 * Runs jobs one after another in a child process that caches their modules.
 *
 * @module
 */
import type { ModuleHeader } from "../ipc/mod.ts";
import type { JobExecutor, JobExecutorOptions, SandboxEvent, SandboxJob } from "../job_types.ts";
import { ExecutorProcess } from "./executor_process.ts";

/** Default of {@linkcode ExecutorOptions.maxMemoryBytes}: the address space of 32-bit WebAssembly. */
const DEFAULT_MAX_MEMORY_BYTES = 4 * 2 ** 30;

/** Maximum number of cached modules: a submitter with more kinds of jobs compiles some of them again. */
const MAX_MODULES = 8;

/**
 * Default of {@linkcode ExecutorOptions.warmModuleBytes}. An idle executor retains two to five times as much in generated
 * code. CPython has 26 MB, yosys 69 MB, clang 75 MB.
 */
const DEFAULT_WARM_MODULE_BYTES = 128 * 2 ** 20;

/**
 * Which compiled modules an executor caches for further jobs; evicts the least recently used one.
 *
 * The host decides, so that both sides agree on the content without a round trip.
 */
export class ModuleCache {
  /** Sizes in bytes by key, the least recently used first. */
  readonly #sizes = new Map<string, number>();
  readonly #maxBytes: number;
  #bytes = 0;

  /** Creates the cache of an executor that keeps modules of at most `maxBytes` in total. */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  /** Total size of the cached modules, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the executor has a module cached. */
  has(key: string): boolean {
    return this.#sizes.has(key);
  }

  /** Records that a job with a module is sent next; returns the module's description for its header. */
  use(key: string | undefined, bytes: number): ModuleHeader {
    if (key === undefined || bytes > this.#maxBytes) {
      return { key: null, isCached: false, bytes, evict: [] };
    }
    const isCached = this.#sizes.has(key);
    this.evict(key);
    const evict: string[] = [];
    for (const oldest of this.#sizes.keys()) {
      if (this.#sizes.size < MAX_MODULES && this.#bytes + bytes <= this.#maxBytes) break;
      this.evict(oldest);
      evict.push(oldest);
    }
    this.#sizes.set(key, bytes);
    this.#bytes += bytes;
    return { key, isCached, bytes, evict };
  }

  /** Records that the executor does not have a module. */
  evict(key: string): void {
    this.#bytes -= this.#sizes.get(key) ?? 0;
    this.#sizes.delete(key);
  }
}

/** Options of {@linkcode Executor}. */
export interface ExecutorOptions {
  /**
   * Maximum memory of a job, in bytes.
   * @default {4 GiB}
   */
  maxMemoryBytes?: number;
  /**
   * Maximum size of the modules that it keeps compiled for further jobs, in bytes of WebAssembly.
   * @default {128 MiB}
   */
  warmModuleBytes?: number;
  /**
   * Directory that is accessible to this user only. The executor is connected by a socket in it, which is removed
   * when the process has started.
   * @default {pipes, which are slower for large input and output}
   */
  socketDir?: string | undefined;
  /**
   * Whether the process runs only when no other needs the processor (SCHED_IDLE), where the system allows it.
   * @default {false}
   */
  isIdle?: boolean | undefined;
}

/** Runs a job with lent output; assigned by {@linkcode Executor}, so that it is not part of the public API. */
let runLending: (
  executor: Executor,
  job: SandboxJob,
  options?: JobExecutorOptions,
) => AsyncGenerator<SandboxEvent, void, void>;

/**
 * One executor process; runs one job at a time.
 *
 * @example
 * ```ts
 * import { runJob } from "@plasm/plasm";
 * import { Executor } from "@plasm/plasm/executor";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * await using executor = new Executor();
 * for (const text of ["first", "second"]) {
 *   // The second job reuses the process and the compiled module.
 *   const { stdout } = await runJob(module, { stdin: new TextEncoder().encode(text), executor });
 *   assertEquals(new TextDecoder().decode(stdout), [...text].reverse().join(""));
 * }
 * ```
 */
export class Executor implements JobExecutor, AsyncDisposable {
  readonly #process: ExecutorProcess;
  readonly #modules: ModuleCache;

  static {
    runLending = (executor, job, options) => executor.#run(job, { ...options, lendsOutput: true });
  }

  /**
   * Starts the process; {@linkcode Executor.ready} resolves when it accepts a job.
   *
   * @throws {PlasmError} `executor` if the system cannot start a process
   */
  constructor(options: ExecutorOptions = {}) {
    const { maxMemoryBytes = DEFAULT_MAX_MEMORY_BYTES, socketDir, isIdle } = options;
    this.#modules = new ModuleCache(options.warmModuleBytes ?? DEFAULT_WARM_MODULE_BYTES);
    this.#process = ExecutorProcess.start({ maxMemoryBytes, socketDir, isIdle });
  }

  /** Process id. */
  get pid(): number {
    return this.#process.pid;
  }

  /** Whether the process accepts another job. */
  get usable(): boolean {
    return this.#process.usable;
  }

  /** Whether a job with this `moduleKey` runs without sending and compiling its module again. */
  hasModule(key: string): boolean {
    return this.#modules.has(key);
  }

  /** Size of the modules that it keeps compiled, in bytes of WebAssembly. */
  get warmModuleBytes(): number {
    return this.#modules.bytes;
  }

  /** Resolves when the process has ended. */
  get ended(): Promise<Deno.CommandStatus> {
    return this.#process.ended;
  }

  /**
   * Resolves when the process accepts a job.
   *
   * @throws {PlasmError} `executor` if it does not start, `interrupted` on abort
   */
  async ready({ signal }: JobExecutorOptions = {}): Promise<void> {
    await this.#process.ready(signal);
  }

  /**
   * Runs a job and yields its events. Consuming slowly applies backpressure; returning early kills the job.
   *
   * @throws {PlasmError} `bad-module` or `bad-input` if the job cannot start, `executor` if the process failed
   */
  run(job: SandboxJob, options: JobExecutorOptions = {}): AsyncGenerator<SandboxEvent, void, void> {
    return this.#run(job, options);
  }

  /** Kills the process and waits for its end. */
  async kill(): Promise<void> {
    await this.#process.kill();
  }

  /** Same as {@linkcode Executor.kill}. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
  }

  #run(
    job: SandboxJob,
    { signal, lendsOutput }: JobExecutorOptions & { lendsOutput?: boolean },
  ): AsyncGenerator<SandboxEvent, void, void> {
    const { module, moduleKey } = job;
    return this.#process.run(job, {
      signal,
      lendsOutput,
      describeModule: () => this.#modules.use(moduleKey, module.length),
      onRefused: () => moduleKey !== undefined && this.#modules.evict(moduleKey),
    });
  }
}

/**
 * Returns a view of an executor whose output events lend the buffers of its connection instead of copies: the data
 * of an event is valid until the next event is requested. For a consumer that forwards the output at once, such as
 * the daemon's pipe, the copy takes a fifth of the time per byte.
 */
export function lendOutput(executor: Executor): JobExecutor {
  return {
    hasModule: (key) => executor.hasModule(key),
    run: (job, options) => runLending(executor, job, options),
  };
}
