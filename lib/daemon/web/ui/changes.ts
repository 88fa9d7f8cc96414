/// <reference lib="dom" />
/**
 * Streams of the daemon's events, which connect again when it has restarted.
 *
 * @module
 */
import type { ChangesJson } from "../../../api/mod.ts";

/** State of the connection to the daemon. */
export type ConnectionState = "live" | "reconnecting" | "signed-out";

/** Shortest and longest time before the next attempt to connect, in milliseconds. */
const [RETRY_MS, MAX_RETRY_MS] = [500, 5000];

/** Options of {@linkcode followStream}. */
export interface StreamOptions {
  /** Address of the stream; called at each attempt. */
  path: () => string;
  /** Types of events. */
  types: readonly string[];
  onEvent: (event: MessageEvent<string>) => void;
  /** Called when the state changes. @default {nothing} */
  onState?: (state: ConnectionState) => void;
  /** Ends the stream. */
  signal: AbortSignal;
}

/** Follows a stream until the signal aborts. EventSource itself stops for good at the first answer other than 200. */
export function followStream(options: StreamOptions): void {
  const { path, types, onEvent, onState, signal } = options;
  let source: EventSource | undefined;
  let retryMs = RETRY_MS;
  const open = (): void => {
    if (signal.aborted) return;
    source = new EventSource(path());
    source.onopen = () => {
      retryMs = RETRY_MS;
      onState?.("live");
    };
    source.onerror = () => {
      source?.close();
      void retry();
    };
    for (const type of types) source.addEventListener(type, onEvent);
  };
  const retry = async (): Promise<void> => {
    if (signal.aborted) return;
    const answer = await fetch("/version", { signal }).catch(() => undefined);
    if (signal.aborted) return;
    // The process that signed this browser in has ended.
    if (answer?.status === 401) return onState?.("signed-out");
    onState?.("reconnecting");
    setTimeout(open, retryMs);
    retryMs = Math.min(2 * retryMs, MAX_RETRY_MS);
  };
  signal.addEventListener("abort", () => source?.close());
  open();
}

/** Load of the node at a time. */
export interface LoadSample {
  at: number;
  load: ChangesJson["load"];
  /** Jobs that ended since the previous sample. */
  ended: number;
}

/** Time for which samples are stored, in milliseconds. */
const SAMPLES_MS = 300_000;

type Listener = (changes: ChangesJson) => void;

/** What tabs send to each other. */
type TabMessage =
  | { type: "changes"; changes: ChangesJson }
  | { type: "state"; state: ConnectionState }
  | { type: "samples"; samples: LoadSample[] }
  | { type: "hello" };

/**
 * Changes of jobs and load. All tabs of a browser share one stream: it opens only six connections to a host, and a
 * seventh tab would wait for ever.
 */
export class Changes {
  readonly #listeners = new Set<Listener>();
  readonly #channel = new BroadcastChannel("plasm-changes");
  readonly #onState: (state: ConnectionState) => void;
  #state: ConnectionState | undefined;
  #isLeading = false;
  #isQueued = false;
  /** Load of the last five minutes, oldest first. */
  samples: LoadSample[] = [];

  constructor(onState: (state: ConnectionState) => void) {
    this.#onState = onState;
    this.#channel.onmessage = ({ data }: MessageEvent<TabMessage>) => this.#receive(data);
    this.#channel.postMessage({ type: "hello" });
    void this.#queue();
  }

  /** Reads the stream as soon as no other tab does: once that is closed, the next one's turn has come. */
  async #queue(): Promise<void> {
    if (this.#isQueued) return;
    this.#isQueued = true;
    await navigator.locks.request("plasm-changes", () => this.#lead());
    this.#isLeading = this.#isQueued = false;
  }

  /** Calls a function with each message, until the signal aborts. */
  listen(listener: Listener, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener));
  }

  /** Reads the stream for all tabs; resolves when this browser is signed out. */
  #lead(): Promise<void> {
    this.#isLeading = true;
    let isFirst = true;
    const share = (message: TabMessage): void => {
      this.#receive(message);
      this.#channel.postMessage(message);
    };
    return new Promise((resolve) => {
      followStream({
        path: () => "/v1/changes",
        types: ["message"],
        onEvent: ({ data }) => {
          const changes: ChangesJson = JSON.parse(data);
          // What has changed while no stream was open is unknown.
          share({ type: "changes", changes: { ...changes, more: changes.more || isFirst } });
          isFirst = false;
        },
        onState: (state) => {
          isFirst = true;
          share({ type: "state", state });
          if (state === "signed-out") resolve();
        },
        signal: new AbortController().signal,
      });
    });
  }

  #receive(message: TabMessage): void {
    if (message.type === "hello") this.#welcome();
    else if (message.type === "state") {
      this.#state = message.state;
      this.#onState(message.state);
    } else if (message.type === "samples") {
      if (this.samples.length === 0) this.samples = message.samples;
    } else this.#add(message.changes);
  }

  /** Responds to a new tab, in which the user may have signed in again. */
  #welcome(): void {
    if (!this.#isLeading) return void this.#queue();
    this.#channel.postMessage({ type: "samples", samples: this.samples });
    if (this.#state !== undefined) this.#channel.postMessage({ type: "state", state: this.#state });
  }

  #add(changes: ChangesJson): void {
    const at = Date.parse(changes.at);
    const ended = changes.jobs.filter(({ finished_at }) => finished_at !== null).length;
    this.samples.push({ at, load: changes.load, ended });
    while (at - this.samples[0]!.at > SAMPLES_MS) this.samples.shift();
    for (const listener of this.#listeners) listener(changes);
  }
}
