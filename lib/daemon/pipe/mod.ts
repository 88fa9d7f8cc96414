/**
 * Piped runs: a job's standard streams over one upgraded connection.
 * @module
 */
export { PIPE_START, servePipe } from "./pipe_server.ts";
