/**
 * The executor of `plasm exec`, started before anything is known of the job: a process takes longer
 * to start than a job to be read.
 * @module
 */
import { DEFAULT_RESOURCES } from "../../core/mod.ts";
import { reorderFunctions } from "../../wasm/reorder/mod.ts";
import { Executor } from "../../sandbox/host/mod.ts";
import { DEFAULT_CEILINGS, type SandboxJob } from "../../sandbox/mod.ts";
import type { ParsedArgs } from "../args.ts";
import { EARLY_MEMORY_BYTES, takeEarly } from "./speculative_start.ts";

/**
 * Larger modules are reordered by the child, where the time counts against the job's limits and is monitored.
 */
const MAX_REORDERED_BYTES = 2 ** 20;

/** One executor, for a job that is still to be read. */
export class EarlyExecutor implements AsyncDisposable {
  readonly #maxMemoryBytes: number;
  readonly #signal: AbortSignal;
  #executor: Executor | undefined;

  /** Starts the process, for the memory that the command line asks for. */
  constructor(args: ParsedArgs, signal: AbortSignal) {
    this.#signal = signal;
    const memoryMb = args.integer("memory-mb") ?? DEFAULT_RESOURCES.memory_mb;
    this.#maxMemoryBytes = memoryMb * 2 ** 20 + DEFAULT_CEILINGS.fs_bytes;
    // A manifest may ask for any amount, and so may a command line that is refused in a moment.
    if (args.string("manifest") !== undefined || memoryMb > DEFAULT_CEILINGS.memory_mb) return;
    this.#executor = new Executor({
      maxMemoryBytes: this.#maxMemoryBytes,
      assumesConfinement: true,
      once: true,
      process: this.#maxMemoryBytes === EARLY_MEMORY_BYTES ? takeEarly() : undefined,
    });
    this.#executor.alive().catch(() => {}); // told by take()
  }

  /**
   * The executor for a job that may use so much memory; another one where the system refuses to confine
   * the first as far as was assumed. It has been sent the job but for its standard input: what cannot be
   * had twice.
   *
   * @throws {PlasmError} `executor`, `interrupted`
   */
  async take(memoryBytes: number, job: SandboxJob): Promise<Executor> {
    const signal = this.#signal;
    const early = this.#executor;
    if (early !== undefined && memoryBytes <= this.#maxMemoryBytes) {
      try {
        early.sendAhead({ ...job, reordered: reorderOnHost(job) });
        await early.alive({ signal });
        return early;
      } catch {
        signal.throwIfAborted();
      }
    }
    await early?.kill();
    const executor = this.#executor = new Executor({ maxMemoryBytes: memoryBytes, once: true });
    await executor.ready({ signal });
    return executor;
  }

  /** Ends the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#executor?.kill();
  }
}

/** Reorders a module on the host while the child starts and the CPU is idle. */
function reorderOnHost({ module }: SandboxJob): Uint8Array | undefined {
  if (module.length > MAX_REORDERED_BYTES) return undefined;
  return reorderFunctions(module as Uint8Array<ArrayBuffer>).bytes;
}
