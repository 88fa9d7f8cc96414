/**
 * Waits for a promise no longer than a signal allows.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

/**
 * The promise's result.
 *
 * @throws {PlasmError} `interrupted` on abort.
 */
export function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  const aborted = Promise.withResolvers<never>();
  const onAbort = () => {
    aborted.reject(new PlasmError("interrupted", "Stopped waiting for an executor: cancelled"));
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  return Promise.race([promise, aborted.promise])
    .finally(() => signal.removeEventListener("abort", onAbort));
}
