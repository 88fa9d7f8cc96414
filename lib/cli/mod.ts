/**
 * The command line: parses arguments and runs one command.
 *
 * @module
 */
export { type CliIo, processIo } from "./io.ts";
export { runCommandLine } from "./run_command_line.ts";
