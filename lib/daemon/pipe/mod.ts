/**
 * Piped runs: a job's standard streams over one upgraded connection.
 * @module
 */
export { servePipe } from "./pipe_server.ts";
