/**
 * Public entry point of the cli/exec component.
 * @module
 */
export { runByDaemon, runRemote } from "./elsewhere.ts";
export { readExecJob } from "./exec_job.ts";
export { execLocally } from "./local_run.ts";
export { CollectedOutput } from "./output_json.ts";
