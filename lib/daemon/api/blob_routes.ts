/**
 * Routes of modules and inputs: sent once, by hash.
 * @module
 */
import type { Hono } from "hono";
import { readBody, requireType } from "./body.ts";
import type { ApiContext } from "./api_context.ts";
import { hashParam } from "./job_request.ts";

const KINDS = [
  { path: "modules", what: "module", ceiling: "module_bytes" },
  { path: "inputs", what: "input", ceiling: "input_bytes" },
] as const;

const TYPES = ["application/wasm", "application/octet-stream"];

/** Adds the routes of modules and inputs. */
export function addBlobRoutes(app: Hono, context: ApiContext): void {
  const { blobs } = context.store;
  for (const { path, what, ceiling } of KINDS) {
    app.put(`/v1/${path}/:hash`, async ({ req }) => {
      const hash = hashParam(req.param("hash"));
      requireType(req.raw, TYPES);
      const { api, jobs } = context.config();
      const known = blobs.info(hash) !== undefined;
      const body = readBody(req.raw.body, { idleMs: api.idle_timeout_seconds * 1000 });
      const kept = await blobs.put(body, { hash, maxBytes: jobs.ceilings[ceiling], what });
      return Response.json(kept, { status: known ? 200 : 201 });
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
