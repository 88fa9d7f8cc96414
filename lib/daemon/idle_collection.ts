/**
 * Collects garbage while the daemon is idle. V8 collects when a process allocates, so that one that has become idle keeps
 * the garbage of its last work: after it joined a network of 30 nodes, three times what it uses.
 *
 * @module
 */

/** Interval between checks, in milliseconds. */
const CHECK_MS = 30_000;

/** Time without a job after which the daemon is idle, in milliseconds. */
const IDLE_MS = 10_000;

/** Growth of the heap since the last collection that is worth another one, in bytes; each takes some 30 ms. */
const GROWTH_BYTES = 12 * 2 ** 20;

/** Options of {@linkcode startIdleCollection}. */
export interface IdleCollectionOptions {
  /** Time since the last job, in milliseconds; 0 while one runs. */
  idleMs: () => number;
  /** Collects garbage; undefined where V8 does not expose it. @default {globalThis.gc} */
  collect?: (() => void) | undefined;
  /** Size of the heap, in bytes. @default {Deno.memoryUsage().heapTotal} */
  heapBytes?: (() => number) | undefined;
  /** Interval between checks, in milliseconds. @default {30000} */
  checkMs?: number | undefined;
}

/** Starts the collection; returns a function that stops it. Without a collector it does nothing. */
export function startIdleCollection(
  {
    idleMs,
    collect = (globalThis as { gc?: () => void }).gc,
    heapBytes = () => Deno.memoryUsage().heapTotal,
    checkMs = CHECK_MS,
  }: IdleCollectionOptions,
): () => void {
  if (collect === undefined) return () => {};
  // The first collection also removes what only the start needed.
  let last = 0;
  const timer = setInterval(() => {
    if (idleMs() < IDLE_MS || heapBytes() - last < GROWTH_BYTES) return;
    collect();
    last = heapBytes();
  }, checkMs);
  return () => clearInterval(timer);
}
