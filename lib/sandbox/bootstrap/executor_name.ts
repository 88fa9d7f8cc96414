/**
 * By itself, for every start of the program looks at it.
 * @module
 */

/** The subcommand by which a compiled program becomes an executor. */
export const EXECUTOR_COMMAND = "__executor";
