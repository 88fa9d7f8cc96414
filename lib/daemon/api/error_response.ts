/**
 * Errors as HTTP responses.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";

/** The response that carries an error: `{"error": {code, message, …}}` with the code's status. */
export function errorResponse(thrown: unknown): Response {
  const error = PlasmError.from(thrown);
  const headers: Record<string, string> = {};
  if (error.retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.ceil(error.retryAfterMs / 1000));
  }
  if (error.code === "unauthorized") headers["www-authenticate"] = "Bearer";
  if (error.code === "method-not-allowed") headers["allow"] = String(error.details["allowed"]);
  // 499 is what proxies say of a client that went away; no client will read it.
  return Response.json({ error: error.toJSON() }, { status: error.httpStatus, headers });
}
