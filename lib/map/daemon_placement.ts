/**
 * Runs the jobs of a map through a daemon, which queues them with those of others.
 *
 * @module
 */
import type { DaemonClient } from "../client/mod.ts";
import { PlasmError } from "../core/errors/mod.ts";
import type { MapNode, MapNodeOptions, PlacedJob, PlacedResult, Placement } from "./placement.ts";

/** Jobs for each one that the daemon runs at the same time: the next ones should be in its queue already. */
const QUEUE_FACTOR = 2;

/** Options of {@linkcode DaemonPlacement.create}. */
export interface DaemonPlacementOptions {
  /** Jobs at the same time. @default {as many as the daemon runs} */
  jobs?: number | undefined;
  /** Ends the wait for the daemon. @default {never} */
  signal?: AbortSignal | undefined;
}

/** A daemon. Output passes through it and is not stored; its receipts are verified. */
export class DaemonPlacement implements Placement, MapNode {
  readonly id = "daemon";
  readonly window: number;
  readonly maxWindow: number;
  readonly isOwn = false;
  readonly nodes: readonly MapNode[] = [this];
  readonly isSearching = false;
  onChange: (() => void) | undefined;
  readonly #client: DaemonClient;

  private constructor(client: DaemonClient, window: { start: number; max: number }) {
    this.#client = client;
    this.window = window.start;
    this.maxWindow = window.max;
  }

  /**
   * Connects to a daemon. The placement closes the client, also if this fails.
   *
   * @throws {PlasmError} `no-daemon`
   */
  static async create(
    client: DaemonClient,
    { jobs, signal }: DaemonPlacementOptions = {},
  ): Promise<DaemonPlacement> {
    try {
      const { load: { concurrency } } = await client.node({ signal });
      const start = jobs ?? concurrency;
      return new DaemonPlacement(client, { start, max: jobs ?? QUEUE_FACTOR * concurrency });
    } catch (error) {
      client[Symbol.dispose]();
      throw error;
    }
  }

  /** Runs a job; uploads the module if the daemon lacks it. */
  async run(job: PlacedJob, options: MapNodeOptions): Promise<PlacedResult> {
    try {
      return await this.#run(job, options);
    } catch (error) {
      if (PlasmError.from(error).code !== "not-found") throw error;
      options.output.reset();
      await this.#client.putModule(job.module, { signal: options.signal });
      return await this.#run(job, options);
    }
  }

  async #run(job: PlacedJob, { output, signal }: MapNodeOptions): Promise<PlacedResult> {
    const { moduleHash, manifest, stdin, inputs } = job;
    let receivedBytes = 0;
    for await (const event of this.#client.pipe(moduleHash, { manifest, inputs, stdin, signal })) {
      if (event.type === "stdout" || event.type === "stderr") {
        receivedBytes += event.data.length;
        await output.add(event.type, event.data);
      } else if (event.type === "files") {
        receivedBytes += event.data.length;
        await output.addFiles(event.data);
      } else if (event.type === "finished" && event.receipt !== undefined) {
        const { outcome, receipt } = event;
        const cpuTimeMs = receipt.run.usage.cpu_time_ms;
        const sentBytes = stdin.length;
        return { outcome, receipt, cpuTimeMs, sentBytes, receivedBytes, wasQueued: false };
      }
    }
    throw new PlasmError("protocol", "Cannot read result: the connection ended without one");
  }

  /** A daemon that accepts connections and does not answer is stopped. */
  isFinal({ details }: PlasmError): boolean {
    return details["silent"] === true;
  }

  /** Closes the connection. */
  [Symbol.asyncDispose](): Promise<void> {
    this.#client[Symbol.dispose]();
    return Promise.resolve();
  }
}
