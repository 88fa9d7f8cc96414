/**
 * HTTP API of the daemon on its Unix socket and loopback TCP.
 * @module
 */
export { type ApiContext, type DaemonNetwork } from "./api_context.ts";
export { errorResponse, readJsonBody } from "./http_messages.ts";
export { type ApiConnectionLimits } from "./connection_guard.ts";
export { checkTcpRequest, type TcpGuardOptions } from "./tcp_guard.ts";
export { jobJson } from "./job_json.ts";
export { submissionOf } from "./job_request.ts";
export { ApiServer } from "./server.ts";
export { socketDir } from "./unix_socket.ts";
export { PIPE_PATH, rejectUpgrade } from "./routes.ts";
