/**
 * Tracks one node of a map: how many jobs it can run at the same time, and whether it is used at all.
 *
 * @module
 */
import { ERROR_CODES, type ErrorCode, type PlasmError } from "../core/errors/mod.ts";
import type { MapNode, NodeSummary, PlacedResult } from "./placement.ts";

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

/** What of a node its state depends on. */
export type CountedNode = Pick<MapNode, "id" | "window" | "maxWindow" | "capacity">;

/** Whether another attempt elsewhere or later may succeed without a change of the job. */
export function isFaultOfNode({ code }: PlasmError): boolean {
  const { fault, retryable } = ERROR_CODES[code];
  return retryable || fault === "node" || fault === "network" || code === "over-limit";
}

/** State of one node. */
export class NodeState<Node extends CountedNode = CountedNode> {
  readonly node: Node;
  readonly summary: NodeSummary;
  #running = 0;
  #window: number;
  #failures = 0;
  #restsUntil = 0;
  #isExcluded = false;
  #lastError: PlasmError | undefined;

  constructor(node: Node) {
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
    return this.node.capacity ?? this.#window;
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
    return this.#running / this.window;
  }

  /** Whether it can run one more job. */
  hasRoom(now: number): boolean {
    return !this.#isExcluded && now >= this.#restsUntil && this.#running + 1 <= this.window;
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
  succeed(
    { cpuTimeMs, sentBytes, receivedBytes, wasQueued }: Omit<PlacedResult, "outcome">,
  ): void {
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
