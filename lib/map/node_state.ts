/**
 * Tracks one node of a map: how many jobs it can run at the same time, and whether it is used at all.
 *
 * @module
 */
import type { ErrorCode, PlasmError } from "../core/errors/mod.ts";
import type { MapNode, PlacedResult } from "./placement.ts";

/** Rest after the first failure, in milliseconds; it doubles with each further one. */
const MIN_REST_MS = 250;

/** Longest rest, in milliseconds: a node that has come back should be found. */
const MAX_REST_MS = 60_000;

/** Failures in a row after which a node is not used again. */
const MAX_FAILURES = 8;

/** Rest of a node that is busy and does not report for how long, in milliseconds. */
const BUSY_REST_MS = 500;

/** Errors after which a node is not used again: its answers are false, or it refuses every job of the map. */
const FINAL_CODES: readonly ErrorCode[] = [
  "bad-receipt",
  "protocol",
  "policy",
  "over-limit",
  "disabled",
  "unauthorized",
];

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

/** State of one node. */
export class NodeState {
  readonly node: MapNode;
  readonly summary: NodeSummary;
  #running = 0;
  #window: number;
  #failures = 0;
  #restsUntil = 0;
  #isExcluded = false;
  #lastError: PlasmError | undefined;

  constructor(node: MapNode) {
    this.node = node;
    this.#window = node.window;
    this.summary = {
      node: node.id,
      jobs: 0,
      failures: 0,
      cpu_time_ms: 0,
      sent_bytes: 0,
      received_bytes: 0,
    };
  }

  /** Jobs at the same time that the node has shown it can run. */
  get window(): number {
    return this.#window;
  }

  /** Whether the node is not used again. */
  get isExcluded(): boolean {
    return this.#isExcluded;
  }

  /** Until when it gets no job, in Unix milliseconds. */
  get restsUntil(): number {
    return this.#restsUntil;
  }

  /** Its last failure. */
  get lastError(): PlasmError | undefined {
    return this.#lastError;
  }

  /** Jobs that run, as a share of the window. */
  get load(): number {
    return this.#running / this.#window;
  }

  /** Whether it can run one more job. */
  hasRoom(now: number): boolean {
    return !this.#isExcluded && now >= this.#restsUntil && this.#running + 1 <= this.#window;
  }

  /** Records the start of an attempt. */
  begin(): void {
    this.#running++;
  }

  /** Records the end of an attempt without a result. */
  end(): void {
    this.#running--;
  }

  /** Records a result. A node that did not let the job wait gets more jobs. */
  succeed({ cpuTimeMs, sentBytes, receivedBytes, wasQueued }: PlacedResult): void {
    const isFull = this.#running + 1 > this.#window;
    this.end();
    this.#failures = 0;
    this.summary.jobs++;
    this.summary.cpu_time_ms += cpuTimeMs;
    this.summary.sent_bytes += sentBytes;
    this.summary.received_bytes += receivedBytes;
    if (wasQueued) this.#window = Math.max(1, this.node.window, this.#window - 1 / this.#window);
    else if (isFull) this.#window = Math.min(this.node.maxWindow, this.#window + 1 / this.#window);
  }

  /** Records a failure of the node. */
  fail(error: PlasmError): void {
    this.#lastError = error;
    if (error.code === "busy" || error.code === "queue-full") {
      this.#window = Math.max(1, Math.floor(this.#window / 2));
      this.#rest(error.retryAfterMs ?? BUSY_REST_MS);
      return;
    }
    this.summary.failures++;
    this.#failures++;
    this.#isExcluded = FINAL_CODES.includes(error.code) || this.#failures >= MAX_FAILURES;
    this.#rest(MIN_REST_MS * 2 ** (this.#failures - 1));
  }

  #rest(ms: number): void {
    this.#restsUntil = Math.max(this.#restsUntil, Date.now() + Math.min(ms, MAX_REST_MS));
  }
}
