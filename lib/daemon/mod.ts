/**
 * The plasm daemon.
 * @module
 */
export { runService } from "./service.ts";
export { backUp, type BackUpOptions, type BackupSummary } from "./store/mod.ts";
