/**
 * Public entry point of the daemon/pipe component.
 * @module
 */
export { PIPE_PATH, PIPE_START, refuseUpgrade, servePipe } from "./pipe_server.ts";
