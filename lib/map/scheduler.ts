/**
 * Schedules the jobs of a map: reads items as nodes have room, repeats failed attempts and moves jobs away from nodes that
 * fail.
 *
 * @module
 */
import { abortError, PlasmError } from "../core/errors/mod.ts";
import type { JobOutcome, Receipt } from "../core/mod.ts";
import type { Evidence } from "../quorum/mod.ts";
import type { HaltRule } from "./halt.ts";
import { isFaultOfNode, NodeState as CountedState } from "./node_state.ts";
import type {
  MapNode,
  MapOutput,
  NodeSummary,
  PlacedJob,
  PlacedResult,
  Placement,
} from "./placement.ts";

/** Attempts of one item that may fail through no fault of the job, such as a crash of an executor. */
const MAX_NODE_FAILURES = 5;

/** Results in order that may wait for an earlier one, for each job that runs; more are not started. */
const ORDER_FACTOR = 4;

/** Least number of such results: an item that takes long should not leave cores idle. */
const MIN_ORDER_WINDOW = 256;

/** Items that are read before a node has room for them: their files are read while other jobs run. */
const READ_AHEAD = 4;

/** Least time of a job before a copy of it is started, in milliseconds. */
const MIN_COPY_AFTER_MS = 1000;

/** A copy is started when a job runs longer than this multiple of the mean. */
const COPY_FACTOR = 2;

/** Results without a reader: no job is started until it takes them. */
const MAX_UNREAD = 64;

/** Result of one item. */
export interface ItemResult<T, Output> {
  /** Position of the item, from 1. */
  index: number;
  /** The item. */
  item: T;
  /** How its job ended; undefined if it has no result. */
  outcome: JobOutcome | undefined;
  /** Why it has no result. */
  error: PlasmError | undefined;
  /** Its receipt, if the place makes one. */
  receipt: Receipt | undefined;
  /** Receipts of all nodes that agree, if several had to. */
  receipts: Receipt[] | undefined;
  /** Receipts that contradict each other, if any do. */
  evidence: Evidence | undefined;
  /** Its job; undefined if it could not be described. */
  job: PlacedJob | undefined;
  /** Its output; undefined without an outcome. Dispose it. */
  output: Output | undefined;
  /** Node that ran it; undefined if none did. */
  node: string | undefined;
  /** Attempts that were made. */
  attempts: number;
  /** Whether an earlier map has its result. */
  isReused: boolean;
  /** Start of the last attempt, in Unix milliseconds. */
  startedAt: number;
  /** Time of the last attempt, in milliseconds. */
  durationMs: number;
  /** Bytes sent to the node and received from it. */
  bytes: { sent: number; received: number };
}

/** Options of {@linkcode MapScheduler}. */
export interface SchedulerOptions<T, Output extends MapOutput> {
  /** Runs the jobs. */
  placement: Placement;
  /** Completes the job of an item. An error is the result of this item only. */
  describe: (item: T, index: number) => Promise<PlacedJob>;
  /** Creates the receiver of an attempt's output. */
  createOutput: (job: PlacedJob, context: { item: T; index: number }) => Output;
  /**
   * Stores a result before it can be read, so that it is not lost if the reader is slow. An error ends the map.
   * @default {not stored}
   */
  store?: ((result: ItemResult<T, Output>) => Promise<void>) | undefined;
  /** Whether an earlier map has the result of a job. @default {none has} */
  reuse?:
    | ((
      job: PlacedJob,
      context: { item: T; index: number },
    ) => Promise<{ outcome: JobOutcome; receipt: Receipt } | undefined>)
    | undefined;
  /** Whether results come in the order of the items. */
  keepOrder: boolean;
  /** Most attempts of a job that fails. */
  tries: number;
  /** Decides when failures stop the map. */
  halt: HaltRule;
  /** Decides whether a job failed. */
  isFailure: (ended: { outcome: JobOutcome; output: Output | undefined }) => boolean;
  /** Stops all jobs; the results then end with an error. @default {never} */
  signal?: AbortSignal | undefined;
  /** Starts no further jobs; results of jobs that run still come. @default {never} */
  drain?: AbortSignal | undefined;
}

/** Progress of a map. */
export interface MapProgress {
  /** Items with a result. */
  done: number;
  /** Items among them that failed. */
  failed: number;
  /** Items that needed more than one attempt. */
  retried: number;
  /** Items whose result an earlier map has. */
  reused: number;
  /** Jobs that run. */
  running: number;
}

/** One item until its result has been read. */
interface ItemState<T, Output> {
  index: number;
  item: T;
  job: Promise<PlacedJob>;
  attempts: number;
  /** Attempts that failed because of the job, and because of the node. */
  failures: { job: number; node: number };
  running: Map<AbortController, RunningAttempt>;
  /** Nodes on which an attempt failed. */
  avoid: Set<NodeState>;
  /** Whether the item has its result. */
  isSettled: boolean;
  /** Whether the job may run on two nodes at the same time. */
  mayBeCopied: boolean;
  last: ItemResult<T, Output> | undefined;
}

/** An attempt that has not ended. */
interface RunningAttempt {
  node: NodeState;
  /** Start, by the monotonic clock. */
  start: number;
}

/** State of a node that runs jobs. */
type NodeState = CountedState<MapNode>;

/** Runs the jobs of a map once. */
export class MapScheduler<T, Output extends MapOutput> {
  readonly #options: SchedulerOptions<T, Output>;
  readonly #items: AsyncIterator<T> | Iterator<T>;
  readonly #nodes = new Map<string, NodeState>();
  readonly #waiting: ItemState<T, Output>[] = [];
  readonly #active = new Set<ItemState<T, Output>>();
  readonly #attempts = new Set<Promise<void>>();
  /** Results to be read; in order they are sorted by index. */
  readonly #unread = new Map<number, ItemResult<T, Output>>();
  readonly #progress: MapProgress = { done: 0, failed: 0, retried: 0, reused: 0, running: 0 };
  /** Items that were read and have no node yet. */
  readonly #ahead: ItemState<T, Output>[] = [];
  #isReading = false;
  #isExhausted = false;
  readonly #durations = { count: 0, totalMs: 0 };
  #count = 0;
  #nextIndex = 1;
  #haltReason: string | undefined;
  #isStopped = false;
  /** Called when no further job is started. A promise would retain everything that has ever waited for it. */
  readonly #onStopped = new Set<() => void>();
  #error: unknown;
  #wake = Promise.withResolvers<void>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(items: AsyncIterable<T> | Iterable<T>, options: SchedulerOptions<T, Output>) {
    this.#options = options;
    this.#items = Symbol.asyncIterator in items
      ? items[Symbol.asyncIterator]()
      : items[Symbol.iterator]();
  }

  /** Progress so far. */
  get progress(): Readonly<MapProgress> {
    return { ...this.#progress, running: this.#attempts.size };
  }

  /** Why failures have stopped the map; undefined if they have not. */
  get haltReason(): string | undefined {
    return this.#haltReason;
  }

  /** Work of each node. */
  get nodes(): NodeSummary[] {
    const { summaries } = this.#options.placement;
    return [...summaries ?? [...this.#nodes.values()].map(({ summary }) => summary)];
  }

  /**
   * Runs the jobs and yields their results. Reading slowly applies backpressure; returning early stops the jobs.
   *
   * @throws {PlasmError} `interrupted` if the signal aborts; `no-peer` if no node is left; an error of the items
   */
  async *results(): AsyncGenerator<ItemResult<T, Output>, void, void> {
    const { placement, signal, drain } = this.#options;
    const onAbort = (): void => this.#notify();
    const onDrain = (): void => this.#stop();
    signal?.addEventListener("abort", onAbort);
    drain?.addEventListener("abort", onDrain);
    placement.onChange = () => this.#fill();
    if (drain?.aborted) this.#stop();
    try {
      while (true) {
        if (signal?.aborted) throw abortError(signal);
        this.#fill();
        const result = this.#takeUnread();
        if (result !== undefined) {
          yield result;
          continue;
        }
        if (this.#error !== undefined) throw this.#error;
        if (this.#isFinished()) return;
        const wake = this.#wake.promise;
        await wake;
      }
    } finally {
      signal?.removeEventListener("abort", onAbort);
      drain?.removeEventListener("abort", onDrain);
      placement.onChange = undefined;
      await this.#close();
    }
  }

  /** Stops starting jobs. Jobs that wait for another attempt have the result of their last one. */
  #stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    for (const onStopped of this.#onStopped) onStopped();
    for (const state of this.#waiting.splice(0)) this.#settleLast(state);
    this.#notify();
  }

  async #close(): Promise<void> {
    clearTimeout(this.#timer);
    this.#isStopped = true;
    for (const onStopped of this.#onStopped) onStopped();
    this.#isExhausted = true;
    for (const { running } of this.#active) for (const attempt of running.keys()) attempt.abort();
    await Promise.all(this.#attempts);
    for (const { output } of this.#unread.values()) output?.[Symbol.dispose]();
    this.#unread.clear();
    // A generator that waits for input returns when it has got some.
    if (!this.#isReading) await this.#items.return?.();
  }

  #notify(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  #isFinished(): boolean {
    const isOver = this.#isStopped || (this.#isExhausted && this.#ahead.length === 0);
    return isOver && this.#active.size === 0 && this.#unread.size === 0;
  }

  #takeUnread(): ItemResult<T, Output> | undefined {
    const { keepOrder } = this.#options;
    const [first] = keepOrder ? [this.#nextIndex] : this.#unread.keys();
    const result = first === undefined ? undefined : this.#unread.get(first);
    if (result !== undefined) {
      this.#unread.delete(first!);
      this.#nextIndex = result.index + 1;
      return result;
    }
    if (!keepOrder || this.#unread.size === 0) return undefined;
    // When the map has stopped, an earlier item may have no result.
    if (!this.#isStopped || this.#active.size > 0) return undefined;
    this.#nextIndex = Math.min(...this.#unread.keys());
    return this.#takeUnread();
  }

  /** Whether results wait for their reader. */
  get #isFull(): boolean {
    if (!this.#options.keepOrder) return this.#unread.size >= MAX_UNREAD;
    const window = Math.max(MIN_ORDER_WINDOW, ORDER_FACTOR * this.#attempts.size);
    return this.#count - this.#nextIndex >= window;
  }

  /** Starts jobs while nodes have room. */
  #fill(): void {
    if (this.#isStopped || this.#error !== undefined || this.#options.signal?.aborted) return;
    for (const node of this.#options.placement.nodes) {
      if (!this.#nodes.has(node.id)) this.#nodes.set(node.id, new CountedState(node));
    }
    while (!this.#isFull || this.#waiting.length > 0) {
      const pair = this.#choose();
      if (pair === undefined) break;
      this.#start(pair.state, pair.node);
    }
    this.#checkNodes();
  }

  /** Chooses a node with room and an item for it: first one that waits for another attempt. */
  #choose(): { state: ItemState<T, Output>; node: NodeState } | undefined {
    const now = Date.now();
    const open = [...this.#nodes.values()].filter((node) => node.hasRoom(now))
      .sort((a, b) => a.load - b.load);
    for (const node of open) {
      const at = this.#waiting.findIndex(({ avoid }) =>
        !avoid.has(node) || this.#isAvoidedEverywhere(avoid)
      );
      if (at >= 0) return { state: this.#waiting.splice(at, 1)[0]!, node };
    }
    const [node] = open;
    if (node === undefined || this.#isFull) return undefined;
    this.#read();
    const state = this.#ahead.shift();
    if (state === undefined) return this.#isExhausted ? this.#chooseCopy(open) : undefined;
    this.#read();
    return { state, node };
  }

  /**
   * Chooses a job that takes long, and another node that is idle: near the end a slow node would hold up the whole map.
   * Only jobs that give the same result everywhere, or may run twice, are copied.
   */
  #chooseCopy(
    open: readonly NodeState[],
  ): { state: ItemState<T, Output>; node: NodeState } | undefined {
    const after = Math.max(MIN_COPY_AFTER_MS, COPY_FACTOR * this.#meanMs);
    const now = performance.now();
    for (const state of this.#active) {
      const [attempt, ...more] = state.running.values();
      if (!state.mayBeCopied || attempt === undefined || more.length > 0) continue;
      if (now - attempt.start < after) continue;
      const node = open.find((node) => node !== attempt.node && !state.avoid.has(node));
      if (node !== undefined) return { state, node };
    }
    return undefined;
  }

  /** Mean time of the jobs so far, in milliseconds. */
  get #meanMs(): number {
    return this.#durations.count === 0 ? 0 : this.#durations.totalMs / this.#durations.count;
  }

  #isAvoidedEverywhere(avoid: ReadonlySet<NodeState>): boolean {
    return [...this.#nodes.values()].every((node) => node.isExcluded || avoid.has(node));
  }

  /** Reads the next items, and describes their jobs while others run. */
  #read(): void {
    while (!this.#isReading && !this.#isExhausted && this.#ahead.length < READ_AHEAD) {
      this.#readOne();
    }
  }

  #readOne(): void {
    this.#isReading = true;
    const onItem = (next: IteratorResult<T>): void => {
      this.#isReading = false;
      if (next.done) this.#isExhausted = true;
      else {
        const index = ++this.#count;
        const job = this.#describe(next.value, index);
        this.#ahead.push({
          index,
          item: next.value,
          job,
          attempts: 0,
          failures: { job: 0, node: 0 },
          running: new Map(),
          avoid: new Set(),
          isSettled: false,
          mayBeCopied: false,
          last: undefined,
        });
      }
    };
    const next = this.#items.next();
    if (!(next instanceof Promise)) {
      onItem(next);
      return;
    }
    next.then(onItem, (error) => {
      this.#isReading = false;
      this.#isExhausted = true;
      this.#error ??= error;
    }).finally(() => {
      this.#fill();
      this.#notify();
    });
  }

  /** Describes a job. An error is reported by its attempt. */
  #describe(item: T, index: number): Promise<PlacedJob> {
    const job = (async () => await this.#options.describe(item, index))();
    job.catch(() => {});
    return job;
  }

  /** Sets a timer for the first node that rests, and fails if no node is left. */
  #checkNodes(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const states = [...this.#nodes.values()];
    const isLeft = states.some(({ isExcluded }) => !isExcluded);
    if (!isLeft && !this.#options.placement.isSearching) {
      this.#error ??= states.find(({ lastError }) => lastError)?.lastError ??
        new PlasmError("no-peer", "Cannot run jobs: no node found that can run them");
      this.#notify();
      return;
    }
    const now = Date.now();
    const rests = states.filter((node) => !node.isExcluded && node.restsUntil > now)
      .map(({ restsUntil }) => restsUntil);
    // At the end, a job may have become one that takes long.
    const mayCopy = this.#isExhausted && this.#active.size > 0 && states.length > 1;
    const until = Math.min(...rests, ...(mayCopy ? [now + MIN_COPY_AFTER_MS] : []));
    if (until !== Infinity) this.#timer = setTimeout(() => this.#fill(), until - now + 1);
  }

  #start(state: ItemState<T, Output>, node: NodeState): void {
    this.#active.add(state);
    const attempt = this.#attempt(state, node).finally(() => {
      this.#attempts.delete(attempt);
      this.#fill();
      this.#notify();
    });
    this.#attempts.add(attempt);
  }

  /** Runs one attempt and handles its end. Never rejects. */
  async #attempt(state: ItemState<T, Output>, node: NodeState): Promise<void> {
    const controller = new AbortController();
    state.running.set(controller, { node, start: performance.now() });
    node.begin();
    const { result, placed, isNodeFault, isDropped = false } = await this.#run(state, {
      node,
      signal: controller.signal,
    });
    state.running.delete(controller);
    if (placed === undefined) node.end();
    else node.succeed(placed);
    if (isDropped) {
      this.#active.delete(state);
      return;
    }
    const isLate = state.isSettled || controller.signal.aborted || this.#error !== undefined;
    if (isNodeFault && !controller.signal.aborted) node.fail(result.error!);
    // Another attempt may still have a result.
    const isCovered = result.outcome === undefined && state.running.size > 0;
    if (isLate || isCovered) {
      result.output?.[Symbol.dispose]();
      if (!state.isSettled && state.running.size === 0) this.#active.delete(state);
      return;
    }
    if (result.outcome !== undefined) {
      this.#durations.count++;
      this.#durations.totalMs += result.durationMs;
      for (const other of state.running.keys()) other.abort();
    }
    state.isSettled = true;
    try {
      if (result.isReused) await this.#settle(state, result);
      else if (result.outcome !== undefined) await this.#finish(state, result);
      else await this.#fail(state, { result, node, isNodeFault });
    } catch (error) {
      this.#error ??= error;
      this.#active.delete(state);
    }
  }

  /** Describes a job and runs it. Never rejects. */
  async #run(
    state: ItemState<T, Output>,
    { node, signal }: { node: NodeState; signal: AbortSignal },
  ): Promise<EndedAttempt<T, Output>> {
    const { createOutput, reuse } = this.#options;
    const { index, item } = state;
    const startedAt = Date.now();
    const start = performance.now();
    let job: PlacedJob | undefined;
    let output: Output | undefined;
    let isOnNode = false;
    const resultWith = (fields: Partial<ItemResult<T, Output>>): ItemResult<T, Output> => ({
      index,
      item,
      outcome: undefined,
      error: undefined,
      receipt: undefined,
      receipts: undefined,
      evidence: undefined,
      job,
      output: undefined,
      node: isOnNode ? node.node.id : undefined,
      attempts: state.attempts,
      isReused: false,
      startedAt,
      durationMs: performance.now() - start,
      bytes: { sent: 0, received: 0 },
      ...fields,
    });
    try {
      // A file of the item may be a pipe that never has a writer.
      job = await this.#unlessStopped(state.job);
      if (job === undefined) return { result: resultWith({}), isNodeFault: false, isDropped: true };
      const reused = state.attempts === 0 ? await reuse?.(job, { item, index }) : undefined;
      if (reused !== undefined) {
        return { result: resultWith({ ...reused, isReused: true }), isNodeFault: false };
      }
      state.attempts++;
      const { profile, idempotent } = job.manifest;
      state.mayBeCopied = profile === "deterministic" || idempotent;
      isOnNode = true;
      output = this.#orStop(() => createOutput(job!, { item, index }));
      const placed = await node.node.run(job, { output: this.#guard(output), signal });
      const { outcome, receipt, receipts, evidence } = placed;
      const bytes = { sent: placed.sentBytes, received: placed.receivedBytes };
      const result = resultWith({ outcome, receipt, receipts, evidence, bytes, output });
      return { result, placed, isNodeFault: false };
    } catch (thrown) {
      output?.[Symbol.dispose]();
      const error = PlasmError.from(thrown);
      if (isOnNode && node.node.isFinal?.(error) === true) this.#error ??= error;
      const isNodeFault = isOnNode && !node.node.isOwn && isFaultOfNode(error);
      const evidence = error.details["evidence"] as Evidence | undefined;
      return { result: resultWith({ error, evidence }), isNodeFault };
    }
  }

  /** Waits for a job; resolves to undefined if the map stops before. */
  async #unlessStopped(job: Promise<PlacedJob>): Promise<PlacedJob | undefined> {
    const stopped = Promise.withResolvers<undefined>();
    const onStopped = (): void => stopped.resolve(undefined);
    if (this.#isStopped) onStopped();
    this.#onStopped.add(onStopped);
    try {
      return await Promise.race([job, stopped.promise]);
    } finally {
      this.#onStopped.delete(onStopped);
    }
  }

  /** An error of the receiver of output, such as a full disk, ends the map: it is the fault of no item and no node. */
  #orStop<R>(use: () => R): R {
    try {
      const result = use();
      if (!(result instanceof Promise)) return result;
      return result.catch((error) => {
        this.#error ??= error;
        throw error;
      }) as R;
    } catch (error) {
      this.#error ??= error;
      throw error;
    }
  }

  #guard(output: MapOutput): MapOutput {
    return {
      add: (stream, data) => this.#orStop(() => output.add(stream, data)),
      addFiles: (data) => this.#orStop(() => output.addFiles(data)),
      reset: () => this.#orStop(() => output.reset()),
      [Symbol.dispose]: () => output[Symbol.dispose](),
    };
  }

  /** Handles the end of a job: repeats a failed one, if there are tries left. */
  async #finish(state: ItemState<T, Output>, result: ItemResult<T, Output>): Promise<void> {
    const { isFailure, tries } = this.#options;
    const { output } = result;
    const hasFailed = isFailure({ outcome: result.outcome!, output });
    if (!hasFailed || ++state.failures.job >= tries || this.#isStopped) {
      return await this.#settle(state, result);
    }
    output?.[Symbol.dispose]();
    state.last = { ...result, output: undefined };
    state.isSettled = false;
    this.#waiting.push(state);
  }

  /** Handles an attempt without a result. */
  async #fail(
    state: ItemState<T, Output>,
    { result, node, isNodeFault }: {
      result: ItemResult<T, Output>;
      node: NodeState;
      isNodeFault: boolean;
    },
  ): Promise<void> {
    const { code, retryable } = result.error!;
    if (isNodeFault && code !== "busy" && code !== "queue-full") {
      state.avoid.add(node);
      state.failures.node++;
    }
    const mayRepeat = isNodeFault
      ? state.failures.node < MAX_NODE_FAILURES
      : retryable && ++state.failures.job < this.#options.tries;
    if (!mayRepeat || this.#isStopped) return await this.#settle(state, result);
    state.last = result;
    state.isSettled = false;
    this.#waiting.push(state);
  }

  /** Ends the wait for another attempt with the result of the last one. */
  #settleLast(state: ItemState<T, Output>): void {
    const settling = this.#settle(state, state.last!).catch((error) => {
      this.#error ??= error;
      this.#active.delete(state);
    }).finally(() => {
      this.#attempts.delete(settling);
      this.#notify();
    });
    this.#attempts.add(settling);
  }

  async #settle(state: ItemState<T, Output>, result: ItemResult<T, Output>): Promise<void> {
    await this.#options.store?.(result);
    this.#active.delete(state);
    const progress = this.#progress;
    const { outcome, output, isReused, attempts } = result;
    progress.done++;
    if (isReused) progress.reused++;
    if (attempts > 1) progress.retried++;
    if (outcome === undefined || this.#options.isFailure({ outcome, output })) progress.failed++;
    this.#unread.set(result.index, result);
    const { halt } = this.#options;
    if (this.#isStopped || !halt.isReached(progress)) return;
    this.#haltReason = halt.reason(progress);
    this.#stop();
    if (!halt.isNow) return;
    for (const { running } of this.#active) for (const attempt of running.keys()) attempt.abort();
  }
}

/** How an attempt ended. */
interface EndedAttempt<T, Output> {
  result: ItemResult<T, Output>;
  /** What the node reports; undefined if it has no result. */
  placed?: PlacedResult;
  /** Whether another node may have a result. */
  isNodeFault: boolean;
  /** Whether the map stopped before the job was known, so that the item has no result. @default {false} */
  isDropped?: boolean;
}
