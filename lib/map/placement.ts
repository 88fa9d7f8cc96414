/**
 * Types of the places that run the jobs of a map.
 *
 * @module
 */
import type { PlasmError } from "../core/errors/mod.ts";
import type { Evidence } from "../quorum/mod.ts";
import type { Hash, JobInputs, JobOutcome, Manifest, Receipt } from "../core/mod.ts";

/** Job of one item, ready to run. */
export interface PlacedJob {
  /** The module. */
  module: Uint8Array;
  /** Hash of the module. */
  moduleHash: Hash;
  /** The complete manifest. */
  manifest: Manifest;
  /** Standard input. */
  stdin: Uint8Array;
  /** Files by guest path. */
  inputs: JobInputs;
}

/** Receives the output of one attempt. */
export interface MapOutput extends Disposable {
  /** Adds output; the data may be overwritten when the call has resolved. */
  add(stream: "stdout" | "stderr", data: Uint8Array): void | Promise<void>;
  /** Adds a part of the archive of output files. */
  addFiles(data: Uint8Array): void | Promise<void>;
  /** Discards everything received, because the job runs again. */
  reset(): void;
}

/** How an attempt ended. Where a node has signed the receipt, it has been verified with the output. */
export interface PlacedResult {
  /** How the job ended. */
  outcome: JobOutcome;
  /** The receipt, if the place makes one. */
  receipt?: Receipt | undefined;
  /** CPU time of the job, in milliseconds. */
  cpuTimeMs: number;
  /** Bytes of content sent to the node. */
  sentBytes: number;
  /** Bytes of output received. */
  receivedBytes: number;
  /** Whether the job waited for others on its node. */
  wasQueued: boolean;
  /** Receipts of all nodes that agree, if several had to. @default {the receipt} */
  receipts?: Receipt[] | undefined;
  /** Receipts that contradict each other. @default {none do} */
  evidence?: Evidence | undefined;
}

/** Options of {@linkcode MapNode.run}. */
export interface MapNodeOptions {
  /** Receives the output. */
  output: MapOutput;
  /** Stops the job. */
  signal: AbortSignal;
}

/** Work of one node. */
export interface NodeSummary {
  /** Peer id of the node, `daemon` or `local`. */
  node: string;
  /** Jobs with a result. */
  jobs: number;
  /** Attempts without a result. */
  failures: number;
  /** CPU time of the jobs, in milliseconds. */
  cpu_time_ms: number;
  /** Bytes sent to the node. */
  sent_bytes: number;
  /** Bytes received from it. */
  received_bytes: number;
}

/** A place that runs jobs, some of them at the same time. */
export interface MapNode {
  /** Its name in summaries: a peer id, or `local`. */
  readonly id: string;
  /** Number of jobs to start with. */
  readonly window: number;
  /** Most jobs at the same time; the scheduler approaches it while the node keeps up. */
  readonly maxWindow: number;
  /** Jobs at the same time, if the place decides it. @default {what the scheduler finds} */
  readonly capacity?: number;
  /** Whether it is the only place: an error then counts against the job, as no other node can run it. */
  readonly isOwn: boolean;
  /**
   * Runs a job.
   *
   * @throws {PlasmError} Why the node has no result
   */
  run(job: PlacedJob, options: MapNodeOptions): Promise<PlacedResult>;
  /**
   * Reports whether an error ends the map, because no other attempt can succeed.
   * @default {none does}
   */
  isFinal?(error: PlasmError): boolean;
}

/** Where the jobs of a map run. */
export interface Placement extends AsyncDisposable {
  /** Nodes that are known. */
  readonly nodes: readonly MapNode[];
  /** Whether more nodes may be found. */
  readonly isSearching: boolean;
  /** Work of each node, if they are not those of the scheduler. @default {counted by the scheduler} */
  readonly summaries?: readonly NodeSummary[];
  /** Called when nodes were found or the search has ended. */
  onChange: (() => void) | undefined;
}
