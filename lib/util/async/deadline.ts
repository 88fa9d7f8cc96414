/**
 * Limits how long a caller waits for a promise.
 *
 * @module
 */

/** Time limit for a small message of the other side, in milliseconds. */
export const ANSWER_MS = 30_000;

/** Microtask turns to wait before creating a timer: a timer costs as much as 100 turns. */
const SOON_STEPS = 8;

/** Reports whether a promise settles within a few microtask turns. */
async function isSoon(act: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = (): void => void (settled = true);
  act.then(settle, settle);
  for (let n = 0; n < SOON_STEPS && !settled; n++) await null;
  return settled;
}

/** Waits for an operation on a channel. Aborts the channel, which ends the wait, when the time limit passes. */
export async function deadline<T>(
  channel: { abort(reason: Error): void },
  ms: number,
  act: Promise<T>,
): Promise<T> {
  if (await isSoon(act)) return await act;
  const timer = setTimeout(() => channel.abort(new Error(`Nothing moved for ${ms} ms`)), ms);
  try {
    return await act;
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Waits for a promise until a time limit, in milliseconds.
 *
 * @throws The rejection of the promise, or the error that `onTime` creates.
 */
export async function within<T>(ms: number, act: Promise<T>, onTime: () => Error): Promise<T> {
  if (await isSoon(act)) return await act;
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
 * Waits for a promise until a signal aborts. Checks the signal first, unlike `abortable`.
 *
 * @throws The rejection of the promise, or the signal's reason.
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
