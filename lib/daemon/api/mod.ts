/**
 * Public entry point of the daemon/api component.
 * @module
 */
export { type ApiContext } from "./api_context.ts";
export { readJsonBody } from "./body.ts";
export { type GateLimits } from "./connection_guard.ts";
export { errorResponse } from "./error_response.ts";
export { checkTcpRequest, type TcpGuardOptions } from "./guards.ts";
export { jobJson } from "./job_json.ts";
export { submissionOf } from "./job_request.ts";
export { ApiServer } from "./server.ts";
export { socketDir } from "./socket.ts";
