/**
 * Streams the changes of all jobs, and the node's load, for pages that show them live.
 *
 * @module
 */
import type { ChangesJson } from "../../api/mod.ts";
import type { JobRecord, JobStore } from "../store/mod.ts";

/** Least time between two messages, in milliseconds. */
const BATCH_MS = 250;

/** Time after which a message is sent although no job has changed, in milliseconds. */
const IDLE_MS = 2000;

/** Most jobs in a message. */
const MAX_JOBS = 100;

/** Options of {@linkcode changeStream}. */
export interface ChangeStreamOptions {
  store: JobStore;
  /** Converts a job. */
  toJson: (job: JobRecord) => ChangesJson["jobs"][number];
  /** Reads the node's load. */
  load: () => ChangesJson["load"];
  /** Whether messages follow the first. */
  follow: boolean;
  /** Ends the stream. */
  signal: AbortSignal;
  /** Called once when the stream ends. */
  onEnd: () => void;
}

/** Creates the body of the response. */
export function changeStream(options: ChangeStreamOptions): ReadableStream<Uint8Array> {
  const messages = new ChangeMessages(options);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const message = await messages.next();
      if (message === undefined) {
        messages.end();
        controller.close();
      } else controller.enqueue(message);
    },
    cancel: () => messages.end(),
  }, { highWaterMark: 0 });
}

/** Collects changes until the client takes the next message: a slow client makes larger ones, up to the limit. */
class ChangeMessages {
  readonly #options: ChangeStreamOptions;
  readonly #changed = new Set<string>();
  readonly #listening: Disposable;
  readonly #stopped = new AbortController();
  readonly #encoder = new TextEncoder();
  #more = false;
  #wake: (() => void) | undefined;
  #isFirst = true;
  #hasEnded = false;

  constructor(options: ChangeStreamOptions) {
    this.#options = options;
    this.#listening = options.store.changes.listen((id) => {
      if (this.#changed.size >= MAX_JOBS && !this.#changed.has(id)) this.#more = true;
      else this.#changed.add(id);
      this.#wake?.();
    });
  }

  /** The next message; undefined at the end. The first comes at once. */
  async next(): Promise<Uint8Array | undefined> {
    const signal = AbortSignal.any([this.#options.signal, this.#stopped.signal]);
    if (!this.#isFirst) {
      if (!this.#options.follow) return undefined;
      await this.#pause(BATCH_MS, { signal, untilChange: false });
      if (this.#changed.size === 0) {
        await this.#pause(IDLE_MS - BATCH_MS, { signal, untilChange: true });
      }
    }
    this.#isFirst = false;
    if (signal.aborted) return undefined;
    const { store, toJson, load } = this.#options;
    const jobs = [...this.#changed].flatMap((id) => {
      const job = store.get(id);
      return job === undefined ? [] : [toJson(job)];
    });
    const at = new Date().toISOString();
    const changes: ChangesJson = { at, jobs, more: this.#more, load: load() };
    this.#changed.clear();
    this.#more = false;
    return this.#encoder.encode(`data: ${JSON.stringify(changes)}\n\n`);
  }

  async #pause(
    ms: number,
    { signal, untilChange }: { signal: AbortSignal; untilChange: boolean },
  ): Promise<void> {
    if (signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, ms);
    signal.addEventListener("abort", () => resolve(), { once: true });
    if (untilChange) this.#wake = resolve;
    await promise;
    this.#wake = undefined;
    clearTimeout(timer);
  }

  /** Ends the stream; further calls do nothing. */
  end(): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    this.#stopped.abort();
    this.#listening[Symbol.dispose]();
    this.#options.onEnd();
  }
}
