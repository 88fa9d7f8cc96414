/**
 * Defines name and version of the program, for receipts, capability documents and `plasm version`.
 *
 * Separate from the documents, so that the entry point `./verify` does not import JSON, which older browsers cannot.
 *
 * @module
 */
import config from "../../deno.json" with { type: "json" };

/** Version of plasm, from deno.json. */
export const VERSION: string = config.version;

/** Name of the program in receipts. */
export const RUNTIME_NAME = "plasm";
