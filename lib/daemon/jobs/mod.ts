/**
 * Public entry point of the daemon/jobs component.
 * @module
 */
export { type Submission } from "./accept.ts";
export { NODE_CAPABILITIES } from "./admission.ts";
export { Jobs } from "./jobs.ts";
export { startRetention } from "./retention_loop.ts";
export { type RunElsewhere, type RunJob } from "./runner.ts";
