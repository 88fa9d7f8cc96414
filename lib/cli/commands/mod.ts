/**
 * Public entry point of the cli/commands component.
 * @module
 */
export { cancel } from "./cancel.ts";
export { completions } from "./completions.ts";
export { config } from "./config_command.ts";
export { daemon } from "./daemon_command.ts";
export { discover } from "./discover.ts";
export { doctor } from "./doctor.ts";
export { exec } from "./exec.ts";
export { id } from "./id.ts";
export { jobs } from "./list_jobs.ts";
export { logs } from "./logs.ts";
export { peers } from "./peers.ts";
export { printResult, result } from "./result.ts";
export { version } from "./show_version.ts";
export { status } from "./status.ts";
export { submit } from "./submit.ts";
export { verify } from "./verify.ts";
