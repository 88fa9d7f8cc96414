/**
 * Waiting for the other side, but not for ever.
 * @module
 */

/** How long the other side may take for a small message, in milliseconds. */
export const ANSWER_MS = 30_000;

/** How many steps of other code a wait may take before it is worth a timer: to make one costs as much as 100. */
const SOON_STEPS = 8;

/** Whether something settles without a wait for the outside. */
async function isSoon(act: Promise<unknown>): Promise<boolean> {
  let settled = false;
  const settle = (): void => void (settled = true);
  act.then(settle, settle);
  for (let n = 0; n < SOON_STEPS && !settled; n++) await null;
  return settled;
}

/** Waits for something on a channel; drops the channel, which ends the wait, after a time. */
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
 * Waits for something, or throws what `onTime` makes after a time.
 *
 * @throws {unknown} what the promise rejects with, or what `onTime` returns
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
