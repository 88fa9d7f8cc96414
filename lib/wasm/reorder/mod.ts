/**
 * Reorders a module's functions so that hot ones are compiled by the optimizing compiler on first call
 * (docs/adr/0002-tier-mask-and-reordering.md).
 *
 * @module
 */
export { checkDeterministicCode } from "./deterministic_code.ts";
export { codeStart, type ReorderedModule, reorderFunctions } from "./reorder.ts";
