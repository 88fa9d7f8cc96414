/**
 * Finding a node again after a lost connection.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import { sleep } from "../../util/async/mod.ts";
import { Disconnected } from "../wire/mod.ts";

/** First and longest wait before a lost connection is tried again, in milliseconds. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 5000;

/** Options of {@linkcode reconnect}. */
export interface ReconnectOptions {
  /** How long it is tried, in milliseconds. */
  forMs: number;
  /** First wait, in milliseconds; it doubles. @default {100} */
  retryMs?: number | undefined;
  /** Ends the wait. @default {never} */
  signal?: AbortSignal | undefined;
  /** Called after each failure; returns whether to stop trying. */
  onFailure: () => boolean;
}

/**
 * Tries until the node answers.
 *
 * @throws {unknown} What the last try failed with; the signal's reason
 */
export async function reconnect<T>(
  act: () => Promise<T>,
  { forMs, retryMs = RETRY_MS, signal, onFailure }: ReconnectOptions,
): Promise<T> {
  const never = new AbortController().signal;
  const until = performance.now() + forMs;
  for (let wait = retryMs;; wait = Math.min(2 * wait, MAX_RETRY_MS)) {
    try {
      return await act();
    } catch (error) {
      const code = error instanceof Disconnected ? "no-peer" : PlasmError.from(error).code;
      const isLost = code === "no-peer" || code === "peer-timeout";
      if (onFailure() || !isLost || performance.now() > until) throw error;
    }
    await sleep(wait * (0.5 + Math.random() / 2), signal ?? never);
    signal?.throwIfAborted();
  }
}
