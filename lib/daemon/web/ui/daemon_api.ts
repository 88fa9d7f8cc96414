/// <reference lib="dom" />
/**
 * Requests of the page to the daemon, and its stream of changes.
 *
 * @module
 */
import type { ChangesJson } from "../../../api/mod.ts";

/** An error that the daemon answered, or that it did not answer at all. */
export class RequestError extends Error {
  /** What to do next. */
  readonly hint: string | undefined;

  constructor(message: string, hint?: string) {
    super(message);
    this.hint = hint;
  }
}

/** Sends a request; throws {@linkcode RequestError} unless it succeeds. */
export async function request(path: string, init: RequestInit = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new RequestError("The dashboard does not answer", "Run plasm dashboard again");
  }
  if (response.ok) return response;
  const text = await response.text();
  let error: { message?: string; hint?: string } = {};
  try {
    error = JSON.parse(text).error ?? {};
  } catch { /* it was not the daemon that answered */ }
  throw new RequestError(error.message ?? `${response.status}: ${text.slice(0, 200)}`, error.hint);
}

/** Requests JSON. */
export async function getJson<T>(path: string): Promise<T> {
  return await (await request(path)).json();
}

/** Sends JSON and returns the answer. */
export async function postJson<T>(path: string, value: unknown): Promise<T> {
  const response = await request(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(value),
  });
  return await response.json();
}

type Listener = (changes: ChangesJson) => void;

/** Changes of jobs and load; EventSource reconnects. */
export class Changes {
  readonly #listeners = new Set<Listener>();
  /** The last load samples, oldest first: five minutes of them. */
  readonly samples: { at: number; load: ChangesJson["load"]; ended: number }[] = [];

  /** @param onState Called with whether the stream is connected. */
  constructor(onState: (connected: boolean) => void) {
    const source = new EventSource("/v1/changes");
    source.onopen = () => onState(true);
    source.onerror = () => onState(false);
    source.onmessage = ({ data }) => {
      const changes: ChangesJson = JSON.parse(data);
      const at = Date.parse(changes.at);
      const ended = changes.jobs.filter(({ finished_at }) => finished_at !== null).length;
      this.samples.push({ at, load: changes.load, ended });
      while (at - this.samples[0]!.at > 300_000) this.samples.shift();
      for (const listener of this.#listeners) listener(changes);
    };
  }

  /** Calls a function with each message, until the signal aborts. */
  listen(listener: Listener, signal: AbortSignal): void {
    this.#listeners.add(listener);
    signal.addEventListener("abort", () => this.#listeners.delete(listener));
  }
}
