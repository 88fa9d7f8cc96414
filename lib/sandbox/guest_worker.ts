/**
 * Starts the worker of an executor. By itself: starting it blocks its caller, and while it loads its own
 * code the rest of the executor can load too.
 * @module
 */

/** A worker that loads. */
export interface GuestWorker {
  worker: Worker;
  /** Resolves once it is loaded; rejects, with what V8 says, when it cannot be. */
  ready: Promise<void>;
}

/** Starts a worker without permissions. */
export function startGuestWorker(): GuestWorker {
  const worker = new Worker(new URL("./worker.ts", import.meta.url), {
    type: "module",
    name: "guest",
    deno: { permissions: "none" },
  });
  const ready = new Promise<void>((resolve, reject) => {
    worker.onmessage = () => resolve();
    worker.onerror = (event) => {
      event.preventDefault();
      reject(new Error(event.message));
    };
  });
  ready.catch(() => {}); // told to who waits for it
  return { worker, ready };
}
