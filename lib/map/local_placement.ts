/**
 * Runs the jobs of a map on this machine, in executors that cache the module.
 *
 * @module
 */
import { abortError, PlasmError } from "../core/errors/mod.ts";
import type { Signer } from "../core/mod.ts";
import { ExecutorPool } from "../sandbox/host/mod.ts";
import { type Ceilings, DEFAULT_CEILINGS, executeJob } from "../sandbox/mod.ts";
import type { MapNode, MapNodeOptions, PlacedJob, PlacedResult, Placement } from "./placement.ts";

/** Tenant of all jobs: those of one map share executors. */
const TENANT = "map";

/** Time after which an idle executor is ended, in milliseconds: items may arrive slowly from a pipe. */
const IDLE_MS = 300_000;

/** Options of {@linkcode LocalPlacement}. */
export interface LocalPlacementOptions {
  /** Jobs at the same time. */
  jobs: number;
  /** Memory limit of a job, in MiB. */
  memoryMb: number;
  /** Signs receipts. @default {no receipts} */
  signer?: Signer | undefined;
  /** Maximum resources of a job. @default {DEFAULT_CEILINGS} */
  ceilings?: Partial<Ceilings> | undefined;
}

/** Executors of this machine, one for each job at the same time. */
export class LocalPlacement implements Placement, MapNode {
  readonly id = "local";
  readonly window: number;
  readonly maxWindow: number;
  readonly isOwn = true;
  readonly nodes: readonly MapNode[] = [this];
  readonly isSearching = false;
  onChange: (() => void) | undefined;
  readonly #options: LocalPlacementOptions;
  readonly #pool: ExecutorPool;

  constructor(options: LocalPlacementOptions) {
    const { jobs, memoryMb, ceilings } = options;
    this.#options = options;
    this.window = jobs;
    this.maxWindow = jobs;
    const fsBytes = ceilings?.fs_bytes ?? DEFAULT_CEILINGS.fs_bytes;
    this.#pool = new ExecutorPool({
      warm: 0,
      maxIdle: jobs,
      idleMs: IDLE_MS,
      maxMemoryBytes: memoryMb * 2 ** 20 + fsBytes,
    });
  }

  /** Runs a job; once more in another executor if the process fails. */
  async run(job: PlacedJob, options: MapNodeOptions): Promise<PlacedResult> {
    try {
      return await this.#run(job, options);
    } catch (error) {
      if (PlasmError.from(error).code !== "executor" || options.signal.aborted) throw error;
      options.output.reset();
      return await this.#run(job, options);
    }
  }

  async #run(job: PlacedJob, { output, signal }: MapNodeOptions): Promise<PlacedResult> {
    const { signer, ceilings } = this.#options;
    const executor = await this.#pool.acquire({ tenant: TENANT, signal });
    try {
      const { module, moduleHash, manifest, stdin, inputs } = job;
      const events = executeJob(module, {
        manifest,
        moduleHash,
        stdin,
        inputs,
        ceilings,
        signer,
        signal,
        executor,
      });
      let receivedBytes = 0;
      for await (const event of events) {
        if (event.type === "stdout" || event.type === "stderr") {
          receivedBytes += event.data.length;
          await output.add(event.type, event.data);
        } else if (event.type === "files") {
          receivedBytes += event.data.length;
          await output.addFiles(event.data);
        } else if (event.type === "finished") {
          if (signal.aborted) throw abortError(signal);
          const { outcome, receipt } = event;
          const { cpuTimeMs } = outcome.usage;
          return { outcome, receipt, cpuTimeMs, sentBytes: 0, receivedBytes, wasQueued: false };
        }
      }
      throw new PlasmError("internal", "Job ended without a result");
    } finally {
      this.#pool.release(executor);
    }
  }

  /** Ends the executors. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.close();
  }
}
