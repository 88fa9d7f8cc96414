/**
 * `plasm map`: items, templates, results and progress.
 *
 * @module
 */
export { runMap } from "./run_map.ts";
