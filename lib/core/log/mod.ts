/**
 * Log lines on standard error.
 *
 * Separate from core, because a local job logs nothing, and loading LogTape takes 10 ms of its start-up.
 *
 * @module
 */
export { configureLogging, getLog } from "./log.ts";
