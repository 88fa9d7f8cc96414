/**
 * The plasm daemon.
 * @module
 */
export { runService } from "./service.ts";
