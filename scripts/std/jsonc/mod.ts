/**
 * Re-exports `@std/jsonc` from npm, for machines that cannot reach JSR; see CONTRIBUTING.md.
 * @module
 */
// @ts-types="./types.d.ts"
export { parse } from "npm:deno-std@1.4.0/jsonc/mod.js";
