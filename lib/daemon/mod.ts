/**
 * Public entry point of the daemon component.
 * @module
 */
export { runService } from "./service.ts";
