/**
 * The executor of `plasm exec`, started before anything is known of the job: a process takes longer
 * to start than a job to be read.
 * @module
 */
import { DEFAULT_RESOURCES } from "../job/default_resources.ts";
import { Executor } from "../sandbox/executor.ts";
import { DEFAULT_CEILINGS } from "../sandbox/limits.ts";
import type { ParsedArgs } from "./args.ts";
import { EARLY_MEMORY_BYTES, takeEarly } from "./exec_early.ts";

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
      process: this.#maxMemoryBytes === EARLY_MEMORY_BYTES ? takeEarly() : undefined,
    });
    this.#executor.ready().catch(() => {}); // told by take()
  }

  /**
   * The executor, ready for a job that may use so much memory; another one where the system refuses to
   * confine the first as far as was assumed.
   *
   * @throws {PlasmError} `executor`, `interrupted`
   */
  async take(memoryBytes: number): Promise<Executor> {
    const signal = this.#signal;
    const early = this.#executor;
    if (early !== undefined && memoryBytes <= this.#maxMemoryBytes) {
      try {
        await early.ready({ signal });
        return early;
      } catch {
        signal.throwIfAborted();
      }
    }
    await early?.kill();
    const executor = this.#executor = new Executor({ maxMemoryBytes: memoryBytes });
    await executor.ready({ signal });
    return executor;
  }

  /** Ends the process. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#executor?.kill();
  }
}
