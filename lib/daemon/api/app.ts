/**
 * Creates the local API: routes, errors, CORS and request logging.
 * @module
 */
import { Hono } from "hono";
import type { Logger } from "@logtape/logtape";
import { PlasmError } from "../../core/errors/mod.ts";
import { addBlobRoutes, addJobRoutes, addNodeRoutes } from "./routes.ts";
import type { ApiContext } from "./api_context.ts";
import { errorResponse } from "./http_messages.ts";
import { checkTcpRequest, corsHeaders, type TcpGuardOptions } from "./tcp_guard.ts";

/** Answers one request; never throws. */
export type ApiHandler = (request: Request) => Promise<Response>;

/** Options of {@linkcode createApi}. */
export interface ApiOptions {
  log: Logger;
  /** Who may call, when the API listens on TCP. @default {any process that can open the socket} */
  guard?: (() => TcpGuardOptions) | undefined;
}

/** Methods of a path that exists, for requests with another. */
function addMethodRefusals(app: Hono): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    methods.set(path, (methods.get(path) ?? new Set()).add(method));
  }
  for (const [path, known] of methods) {
    const allowed = [...known, ...(known.has("GET") ? ["HEAD"] : [])].sort().join(", ");
    app.all(path, ({ req }) => {
      throw new PlasmError(
        "method-not-allowed",
        `Cannot serve request: ${req.method} is not one of ${allowed}`,
        { details: { allowed } },
      );
    });
  }
}

/** Makes the handler of all routes. */
export function createApi(context: ApiContext, options: ApiOptions): ApiHandler {
  const { log, guard } = options;
  const app = new Hono();
  addBlobRoutes(app, context);
  addJobRoutes(app, context);
  addNodeRoutes(app, context);
  addMethodRefusals(app);
  app.notFound(({ req }) =>
    errorResponse(new PlasmError("not-found", `Cannot serve request: no route ${req.path}`))
  );
  app.onError((error) => {
    if (!(error instanceof PlasmError)) log.error("request-failed", { error });
    return errorResponse(error);
  });
  return async (request) => {
    const begin = performance.now();
    let response: Response;
    let cors: Record<string, string> = {};
    try {
      if (guard !== undefined) {
        await checkTcpRequest(request, guard());
        cors = corsHeaders(request.headers.get("origin"));
      }
      const preflight = guard !== undefined && request.method === "OPTIONS";
      response = preflight ? new Response(null, { status: 204 }) : await app.fetch(request);
    } catch (error) {
      response = errorResponse(error);
    }
    for (const [name, value] of Object.entries(cors)) response.headers.set(name, value);
    // A function: evaluated only if the level is enabled.
    log.debug("request", () => ({
      method: request.method,
      path: new URL(request.url).pathname,
      status: response.status,
      latency_ms: Math.round(performance.now() - begin),
    }));
    return response;
  };
}
