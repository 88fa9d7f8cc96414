/**
 * Aborts, limits, delays and repeats asynchronous operations.
 *
 * @module
 */
import npmDelay from "delay";
import pRetry from "p-retry";
import { raceSignal } from "race-signal";
import { concat } from "../bytes.ts";

export {
  isPipe,
  readFile,
  type ReadFileOptions,
  writeFile,
  type WriteFileOptions,
} from "./files.ts";

/** Options of {@linkcode abortable}. */
export interface AbortableOptions {
  /** Ends the wait. @default {none: waits for the promise alone} */
  signal?: AbortSignal | undefined;
  /** Creates the error of an aborted wait. @default {the signal's reason} */
  error?: (() => Error) | undefined;
}

/**
 * Waits for a promise until the signal aborts. A signal that has already aborted wins over a settled promise.
 * The operation behind the promise continues.
 *
 * @throws What `error` creates, or the signal's reason.
 */
export async function abortable<T>(
  promise: Promise<T>,
  { signal, error }: AbortableOptions = {},
): Promise<T> {
  return await raceSignal(promise, signal, error === undefined ? {} : { translateError: error });
}

/** Options of {@linkcode deadline}. */
export interface DeadlineOptions {
  /** Time limit in milliseconds. */
  ms: number;
  /** Creates the error of a wait beyond the limit; it may also abort the operation. */
  error: () => Error;
}

/** Microtask turns to wait before creating a timer: a timer costs as much as 100 turns. */
const SETTLE_TURNS = 8;

/** Reports whether a promise settles within a few microtask turns. */
async function settlesSoon(promise: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = (): void => void (settled = true);
  promise.then(settle, settle);
  for (let turn = 0; turn < SETTLE_TURNS && !settled; turn++) await null;
  return settled;
}

/**
 * Waits for a promise until a time limit.
 *
 * @throws The rejection of the promise, or what `error` creates.
 */
export async function deadline<T>(promise: Promise<T>, options: DeadlineOptions): Promise<T> {
  if (await settlesSoon(promise)) return await promise;
  const expired = Promise.withResolvers<never>();
  const timer = setTimeout(() => expired.reject(options.error()), Math.max(0, options.ms));
  try {
    return await Promise.race([promise, expired.promise]);
  } finally {
    clearTimeout(timer);
  }
}

/** Options of {@linkcode delay}. */
export interface DelayOptions {
  /** Ends the delay early. @default {none} */
  signal?: AbortSignal | undefined;
}

/** Resolves after a delay in milliseconds, or as soon as the signal aborts. Never rejects. */
export async function delay(ms: number, { signal }: DelayOptions = {}): Promise<void> {
  try {
    await npmDelay(ms, signal === undefined ? {} : { signal });
  } catch {
    // The signal aborted.
  }
}

/** Options of {@linkcode retry}. */
export interface RetryOptions {
  /** Delay after the first failure, in milliseconds; it doubles with each failure, plus up to 100 % jitter. */
  minMs: number;
  /** Longest delay, in milliseconds. */
  maxMs: number;
  /** Most repetitions after the first attempt. @default {no limit} */
  retries?: number | undefined;
  /** Time after which no attempt is repeated, in milliseconds. @default {no limit} */
  forMs?: number | undefined;
  /** Ends the delay and prevents further attempts; does not stop a running attempt. @default {none} */
  signal?: AbortSignal | undefined;
  /** Decides whether an attempt that failed with this error is repeated. @default {always} */
  shouldRetry?: ((error: Error) => boolean) | undefined;
  /** Called after each failure, before `shouldRetry`. The delay starts when it returns. @default {nothing} */
  onFailure?: ((error: Error) => void | Promise<void>) | undefined;
}

/**
 * Repeats an operation with exponential backoff until it succeeds.
 *
 * @throws The last attempt's error; the signal's reason; a `TypeError` of the operation at once, as it is a defect.
 */
export async function retry<T>(operation: () => Promise<T>, options: RetryOptions): Promise<T> {
  const { minMs, maxMs, retries = Infinity, forMs = Infinity } = options;
  const { signal, shouldRetry = () => true, onFailure = () => {} } = options;
  let success: { value: T } | undefined;
  try {
    return await pRetry(async () => {
      success = { value: await operation() };
      return success.value;
    }, {
      retries,
      minTimeout: minMs,
      maxTimeout: maxMs,
      maxRetryTime: forMs,
      randomize: true,
      ...(signal === undefined ? {} : { signal }),
      shouldRetry: ({ error }) => success === undefined && shouldRetry(error),
      onFailedAttempt: ({ error }) => success === undefined ? onFailure(error) : undefined,
    });
  } catch (error) {
    // p-retry discards the value of an attempt during which the signal aborted.
    if (success !== undefined) return success.value;
    throw error;
  }
}

/** Options of {@linkcode forEachLimited}. */
export interface ForEachLimitedOptions<T> {
  /** Most tasks at once. */
  limit: number;
  /** Task for one item. */
  task: (item: T) => Promise<void>;
}

/** Runs a task for each item with limited concurrency. Resolves when all have finished; rejects with the first error. */
export async function forEachLimited<T>(
  items: readonly T[],
  { limit, task }: ForEachLimitedOptions<T>,
): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await task(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}

/** Options of {@linkcode collect}. */
export interface CollectOptions {
  /** Most bytes to collect. */
  maxBytes: number;
  /** Creates the error for more. */
  tooLarge: () => Error;
}

/**
 * Concatenates the chunks of a stream.
 *
 * @throws What `tooLarge` creates, at the chunk that exceeds `maxBytes`.
 */
export async function collect(
  chunks: AsyncIterable<Uint8Array>,
  { maxBytes, tooLarge }: CollectOptions,
): Promise<Uint8Array<ArrayBuffer>> {
  const parts: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of chunks) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge();
    parts.push(chunk);
  }
  return concat(parts);
}
