/**
 * Waits for a promise until a signal aborts.
 *
 * @module
 */

/** Options of {@linkcode abortable}. */
export interface AbortableOptions {
  /** Ends the wait. @default {none: waits for the promise alone} */
  signal?: AbortSignal | undefined;
  /** Creates the error of an aborted wait. @default {the signal's reason} */
  error?: (() => Error) | undefined;
}

/**
 * Resolves or rejects as the promise does, or rejects as soon as the signal aborts. The promise itself goes on.
 *
 * @throws What `error` creates, or the signal's reason.
 */
export async function abortable<T>(
  promise: Promise<T>,
  { signal, error }: AbortableOptions = {},
): Promise<T> {
  if (signal === undefined) return await promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => aborted.reject(error === undefined ? signal.reason : error());
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([promise, aborted.promise]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
