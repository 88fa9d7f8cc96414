/**
 * Abortable delays and loops with limited concurrency.
 *
 * @module
 */

/** Resolves after a delay in milliseconds or when the signal aborts. Never rejects. */
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

/** Runs a task for each item with at most `limit` tasks at once. Resolves when all have finished. */
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
