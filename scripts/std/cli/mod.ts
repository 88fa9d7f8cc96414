/**
 * Re-exports the part of `@std/cli` that plasm uses from npm, for machines that cannot reach JSR; see
 * CONTRIBUTING.md.
 * @module
 */
// @ts-types="./types.d.ts"
export { parseArgs } from "npm:deno-std@1.4.0/cli/parse_args.js";
