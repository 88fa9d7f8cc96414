/**
 * What this program calls itself in receipts, adverts and `plasm version`.
 * @module
 */
import config from "../../deno.json" with { type: "json" };

/** The version of plasm, from deno.json, the one place where it is written. */
export const VERSION: string = config.version;

/** The name under which plasm signs receipts. */
export const RUNTIME_NAME = "plasm";
