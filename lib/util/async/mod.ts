/**
 * Waiting that can be aborted, limited in time and repeated.
 *
 * @module
 */
export { abortable, type AbortableOptions } from "./abortable.ts";
export { ANSWER_MS, deadline, orAborted, within } from "./deadline.ts";
export { forEachLimited, sleep } from "./delay.ts";
