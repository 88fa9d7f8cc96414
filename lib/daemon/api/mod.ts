/**
 * HTTP API of the daemon on its Unix socket and loopback TCP.
 * @module
 */
export { type ApiConnectionLimits } from "./connection_guard.ts";
export { readJsonBody, submissionOf } from "./requests.ts";
export { type ReceivedUpgrade } from "./guarded_connection.ts";
export { type ByteSource } from "./request_reader.ts";
export { encodeResponse, errorResponse, jobJson } from "./responses.ts";
export { RefusalLog } from "./refusal_log.ts";
export { type ApiContext, type DaemonNetwork, type NetworkAudits } from "./api_context.ts";
export { PIPE_PATH, rejectUpgrade } from "./job_routes.ts";
export { ApiServer, socketDir } from "./server.ts";
