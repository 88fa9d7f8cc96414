/**
 * Handles requests of the local API: routes, errors, CORS and request logging.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { Hono } from "hono";
import { PlasmError } from "../../core/errors/mod.ts";
import { DATA_HEADERS } from "../web/mod.ts";
import type { ApiContext } from "./api_context.ts";
import { addBlobRoutes } from "./blob_routes.ts";
import { addJobRoutes } from "./job_routes.ts";
import { addNodeRoutes } from "./node_routes.ts";
import { errorResponse } from "./responses.ts";
import { checkTcpRequest, corsHeaders, type TcpGuard } from "./tcp_guard.ts";

/** Handles one request; never throws. */
export type ApiHandler = (request: Request) => Promise<Response>;

/** Options of {@linkcode createApi}. */
export interface ApiOptions {
  log: Logger;
  /** Checks requests on TCP. @default {none: any process that can open the socket is authorized} */
  guard?: (() => TcpGuard) | undefined;
}

/** Rejects other methods on known paths. */
function addMethodChecks(app: Hono): void {
  const methods = new Map<string, Set<string>>();
  for (const { path, method } of app.routes) {
    methods.set(path, (methods.get(path) ?? new Set()).add(method));
  }
  for (const [path, known] of methods) {
    const allowed = [...known, ...(known.has("GET") ? ["HEAD"] : [])].sort().join(", ");
    app.all(path, ({ req }) => {
      throw new PlasmError(
        "method-not-allowed",
        `Cannot serve request: ${req.method} is not allowed on ${req.path}; use ${allowed}`,
        { details: { allowed } },
      );
    });
  }
}

/** Creates the handler of all routes. */
export function createApi(context: ApiContext, options: ApiOptions): ApiHandler {
  const { log, guard } = options;
  const app = new Hono();
  addBlobRoutes(app, context);
  addJobRoutes(app, context);
  addNodeRoutes(app, context);
  addMethodChecks(app);
  app.notFound(({ req }) =>
    errorResponse(new PlasmError("not-found", `Cannot serve request: no route ${req.path}`))
  );
  app.onError((error, { req }) => {
    if (!(error instanceof PlasmError)) log.error("request-failed", { error });
    context.refusals.add(error, { method: req.method, path: req.path });
    return errorResponse(error);
  });
  return async (request) => {
    const begin = performance.now();
    let response: Response;
    let headers: Readonly<Record<string, string>> = {};
    try {
      const tcp = guard?.();
      if (tcp?.pages.isPagePath(new URL(request.url).pathname)) {
        response = await tcp.pages.respond(request);
        if (response.status === 403) {
          context.refusals.add(
            new PlasmError("unauthorized", "Cannot sign in: wrong token, or another site"),
            { method: request.method, path: new URL(request.url).pathname },
          );
        }
      } else {
        if (tcp?.pages.isSignedIn(request)) headers = DATA_HEADERS;
        else if (tcp !== undefined) {
          await checkTcpRequest(request, tcp);
          headers = corsHeaders(request.headers.get("origin"));
        }
        const preflight = tcp !== undefined && request.method === "OPTIONS";
        response = preflight ? new Response(null, { status: 204 }) : await app.fetch(request);
      }
    } catch (error) {
      context.refusals.add(error, { method: request.method, path: new URL(request.url).pathname });
      response = errorResponse(error);
    }
    for (const [name, value] of Object.entries(headers)) response.headers.set(name, value);
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
