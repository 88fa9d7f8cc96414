/**
 * Leaves work behind that does not end though the user has asked for it.
 * @module
 */
import { PlasmError } from "../core/errors/mod.ts";

/** Options of {@linkcode orStopped}. */
export interface OrStoppedOptions {
  /** Says that the user wants the end. */
  signal: AbortSignal;
  /** How long the work may then take to end by itself, in milliseconds. @default {0} */
  graceMs?: number;
}

/**
 * The work's result. The process ends after a command, so what is left behind ends with it: a read of
 * a pipe, say, which nothing else can end.
 *
 * @throws {PlasmError} `interrupted` when it was stopped and did not end in time.
 */
export async function orStopped<T>(work: Promise<T>, options: OrStoppedOptions): Promise<T> {
  const { signal, graceMs = 0 } = options;
  const stopped = Promise.withResolvers<never>();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onAbort = () => {
    timer = setTimeout(() => {
      stopped.reject(new PlasmError("interrupted", "Stopped before the end: it was interrupted"));
    }, graceMs);
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    return await Promise.race([work, stopped.promise]);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
