/**
 * Runs one job in a process that is started before the job is known (docs/adr/0008).
 *
 * A process takes longer to start than a job to be read, so both happen in parallel. The job is sent before the
 * process is ready, and its module is reordered on the host meanwhile.
 *
 * @module
 */
import { isComponent } from "../../wasm/mod.ts";
import { reorderFunctions } from "../../wasm/reorder/mod.ts";
import type {
  ExecutorJob,
  JobExecutor,
  JobExecutorOptions,
  SandboxEvent,
  SandboxJob,
} from "../job_types.ts";
import { ExecutorProcess } from "./executor_process.ts";
import { spawnSpeculatively } from "./spawn/mod.ts";

/** Larger modules are reordered by the child, where the time counts against the job's limits and is monitored. */
const MAX_REORDERED_BYTES = 2 ** 20;

/** Options of {@linkcode SpeculativeExecutor}. */
export interface SpeculativeExecutorOptions {
  /** Memory of jobs that the process is started for, in bytes. @default {no process is started in advance} */
  maxMemoryBytes?: number | undefined;
  /** A process from `spawnSpeculatively(maxMemoryBytes)`. @default {a new one} */
  child?: Deno.ChildProcess | undefined;
}

/** Runs one job, in the process started in advance if possible. */
export class SpeculativeExecutor implements JobExecutor, AsyncDisposable {
  readonly #maxMemoryBytes: number;
  #process: ExecutorProcess | undefined;

  /** Starts the process. If the system cannot start one, `run()` tries again and reports the reason. */
  constructor({ maxMemoryBytes = 0, child }: SpeculativeExecutorOptions = {}) {
    this.#maxMemoryBytes = maxMemoryBytes;
    if (maxMemoryBytes === 0) return;
    try {
      this.#process = new ExecutorProcess(child ?? spawnSpeculatively(maxMemoryBytes), {
        isSingleUse: true,
      });
    } catch {
      return;
    }
    this.#process.alive().catch(() => {}); // run() waits for it again
  }

  /** Always `false`: the process runs a single job. */
  hasModule(_key: string): boolean {
    return false;
  }

  /**
   * Runs the job. Another process is started if the job needs more memory than assumed, or if the system allows
   * less confinement than assumed.
   *
   * @throws {PlasmError} as `Executor.run()`; the signal's reason if it is aborted before the process runs
   */
  async *run(
    job: SandboxJob,
    { signal }: JobExecutorOptions = {},
  ): AsyncGenerator<SandboxEvent, void, void> {
    const maxMemoryBytes = job.limits.memoryBytes + job.limits.fsBytes;
    if (!await this.#sendSpeculatively(job, { maxMemoryBytes, signal })) {
      await this.#process?.kill();
      this.#process = ExecutorProcess.start({ maxMemoryBytes }, { isSingleUse: true });
      await this.#process.ready(signal);
    }
    yield* this.#process!.run(job, { signal });
  }

  /** Ends the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process?.kill();
  }

  /** Sends a job without its standard input, which cannot be read twice; returns whether the process runs. */
  async #sendSpeculatively(
    job: SandboxJob,
    { maxMemoryBytes, signal }: { maxMemoryBytes: number; signal: AbortSignal | undefined },
  ): Promise<boolean> {
    const process = this.#process;
    if (process === undefined || maxMemoryBytes > this.#maxMemoryBytes) return false;
    try {
      process.sendHead(withReordered(job));
      await process.alive(signal);
      return true;
    } catch {
      signal?.throwIfAborted();
      return false;
    }
  }
}

/** Adds the reordered module to a job while the child starts and a CPU is idle. */
function withReordered(job: SandboxJob): ExecutorJob {
  const { module } = job;
  if (module.length > MAX_REORDERED_BYTES || isComponent(module)) return job;
  return { ...job, reordered: reorderFunctions(module as Uint8Array<ArrayBuffer>).bytes };
}
