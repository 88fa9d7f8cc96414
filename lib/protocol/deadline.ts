/**
 * Waiting for the other side, but not for ever.
 * @module
 */

/** How long the other side may take for a small message, in milliseconds. */
export const ANSWER_MS = 30_000;

/** Waits for something on a channel; drops the channel, which ends the wait, after a time. */
export async function deadline<T>(
  channel: { abort(reason: Error): void },
  ms: number,
  act: Promise<T>,
): Promise<T> {
  const timer = setTimeout(() => channel.abort(new Error(`Nothing moved for ${ms} ms`)), ms);
  try {
    return await act;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits for something, or throws what `onTime` makes after a time.
 *
 * @throws {unknown} what the promise rejects with, or what `onTime` returns
 */
export async function within<T>(ms: number, act: Promise<T>, onTime: () => Error): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(onTime()), Math.max(0, ms));
  });
  try {
    return await Promise.race([act, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits for something, but no longer than a signal allows.
 *
 * @throws {unknown} what the promise rejects with, or the signal's reason
 */
export async function orAborted<T>(act: Promise<T>, signal: AbortSignal): Promise<T> {
  signal.throwIfAborted();
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(signal.reason);
  signal.addEventListener("abort", onAbort);
  try {
    return await Promise.race([act, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
