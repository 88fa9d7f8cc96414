/**
 * Collects the output files of a guest that computes without a call, from the shared memory of its file tree.
 *
 * @module
 */
export { type FoundOutputs } from "../fs/outputs.ts";
export { collectShared, type SharedOutputs } from "./collect_shared.ts";
