/**
 * Routes of modules and inputs, by hash.
 * @module
 */
import type { Hono } from "hono";
import type { ApiContext } from "./api_context.ts";
import {
  hashParam,
  MAX_QUERY_BYTES,
  readBody,
  readJsonBody,
  referenceOf,
  requireType,
} from "./requests.ts";

const KINDS = [
  { path: "modules", what: "module", ceiling: "module_bytes" },
  { path: "inputs", what: "input", ceiling: "input_bytes" },
] as const;

const TYPES = ["application/wasm", "application/octet-stream"];

/** Adds the routes of modules and inputs. */
export function addBlobRoutes(app: Hono, context: ApiContext): void {
  const { blobs } = context.store;
  app.post("/v1/modules", async ({ req }) => {
    const { idle_timeout_seconds } = context.config().api;
    const body = await readJsonBody(req.raw, {
      maxBytes: MAX_QUERY_BYTES,
      idleMs: idle_timeout_seconds * 1000,
    });
    return Response.json(await context.modules.fetch(referenceOf(body), context.stopping));
  });
  for (const { path, what, ceiling } of KINDS) {
    app.put(`/v1/${path}/:hash`, async ({ req }) => {
      const hash = hashParam(req.param("hash"));
      requireType(req.raw, TYPES);
      const { api, jobs } = context.config();
      const known = blobs.info(hash) !== undefined;
      const body = readBody(req.raw.body, { idleMs: api.idle_timeout_seconds * 1000 });
      const stored = await blobs.put(body, { hash, maxBytes: jobs.ceilings[ceiling], what });
      return Response.json(stored, { status: known ? 200 : 201 });
    });
    app.get(`/v1/${path}/:hash`, async ({ req }) => {
      const hash = hashParam(req.param("hash"));
      const type = { "content-type": "application/octet-stream" };
      const size = blobs.info(hash)?.size;
      if (req.method === "HEAD" && size !== undefined) {
        return new Response(null, { headers: { ...type, "content-length": String(size) } });
      }
      const data = await blobs.read(hash, what);
      return new Response(data as Uint8Array<ArrayBuffer>, { headers: type });
    });
  }
}
