/**
 * Public entry point of the daemon/pipe component.
 * @module
 */
export { PIPE_START, servePipe } from "./pipe_server.ts";
