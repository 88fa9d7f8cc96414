/**
 * Starts the worker of an executor.
 * @module
 */

/** Path of the worker: beside this file in the bundled program, in its own folder in the source. */
const WORKER_PATH = Deno.build.standalone ? "./worker.ts" : "../worker/worker.ts";

/** A worker that loads. */
export interface GuestWorker {
  worker: Worker;
  /** Resolves once it is loaded; rejects, with what V8 says, when it cannot be. */
  ready: Promise<void>;
}

/** Starts a worker without permissions; this blocks the thread for about as long as a runtime takes to start. */
export function startGuestWorker(): GuestWorker {
  const worker = new Worker(new URL(WORKER_PATH, import.meta.url), {
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
