/**
 * Waiting that can be called off.
 * @module
 */

/** Resolves after some milliseconds, or as soon as the signal is aborted; never rejects. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    if (signal.aborted) done();
    else signal.addEventListener("abort", done, { once: true });
  });
}

/** Runs a task for each item, no more than `limit` at once; resolves when all have ended. */
export async function forEachLimited<T>(
  items: readonly T[],
  { limit, task }: { limit: number; task: (item: T) => Promise<void> },
): Promise<void> {
  const queue = items.values();
  const worker = async () => {
    for (const item of queue) await task(item);
  };
  await Promise.all(Array.from({ length: Math.min(limit, items.length) }, worker));
}
