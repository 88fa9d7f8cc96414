/**
 * Public entry point of the sandbox/worker component.
 * @module
 */
export { type WorkerEnd, type WorkerJob, type WorkerResult } from "./worker.ts";
