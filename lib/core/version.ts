/**
 * Defines name and version of the program, for receipts, capability documents and `plasm version`.
 *
 * @module
 */

/** Version of plasm; a test compares it with deno.json, which would be bundled with the dashboard. */
export const VERSION = "0.1.0";

/** Name of the program in receipts. */
export const RUNTIME_NAME = "plasm";
