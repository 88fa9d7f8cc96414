/**
 * The command line: runs one command with its arguments in the process around it.
 *
 * @module
 */
export { type CliIo, processIo } from "./io.ts";
export { runCommandLine } from "./run_command_line.ts";
