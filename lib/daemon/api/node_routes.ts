/**
 * Routes of the node itself.
 * @module
 */
import type { Hono } from "hono";
import { RUNTIME_NAME, VERSION } from "../../core/mod.ts";
import { type JsonValue, PlasmError } from "../../core/errors/mod.ts";
import { localRuntime } from "../../sandbox/mod.ts";
import { NODE_CAPABILITIES } from "../jobs/mod.ts";
import type { DaemonNetwork } from "../peers/mod.ts";
import { readJsonBody } from "./body.ts";
import type { ApiContext } from "./api_context.ts";

/** Largest query of a discovery, in bytes. */
const MAX_QUERY_BYTES = 64 * 1024;

function network(context: ApiContext): DaemonNetwork {
  if (context.network !== undefined) return context.network;
  throw new PlasmError("no-peer", "Cannot reach peers: the network is off", {
    hint: "Set network.enabled and restart",
    retryable: false,
  });
}

async function* lines(values: AsyncIterable<JsonValue>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  for await (const value of values) yield encoder.encode(`${JSON.stringify(value)}\n`);
}

function readiness(context: ApiContext): Response {
  const { store, jobs } = context;
  const checks = {
    accepting: jobs.accepting,
    store: store.fault === undefined ? "ok" : store.fault.message,
  };
  const ready = checks.accepting && store.fault === undefined;
  return Response.json({ ready, checks }, { status: ready ? 200 : 503 });
}

/** Adds the routes of the node. */
export function addNodeRoutes(app: Hono, context: ApiContext): void {
  app.get("/v1/node", () => {
    const { jobs } = context.config();
    const { waiting, running, runningMemoryMb, concurrency } = context.jobs.load;
    return Response.json({
      peer_id: context.identity.peerId,
      public_key: context.identity.publicKey,
      runtime: localRuntime(),
      capabilities: NODE_CAPABILITIES,
      ceilings: jobs.ceilings,
      load: {
        queued: waiting,
        running,
        concurrency,
        queue_max: jobs.queue_max,
        memory_mb: runningMemoryMb,
        memory_budget_mb: jobs.memory_budget_mb,
      },
      network: context.network?.status() ?? null,
    });
  });
  app.get("/v1/peers", () => Response.json({ peers: network(context).peers() }));
  app.post("/v1/discover", async ({ req }) => {
    const idleMs = context.config().api.idle_timeout_seconds * 1000;
    const query = await readJsonBody(req.raw, { maxBytes: MAX_QUERY_BYTES, idleMs });
    const found = network(context).discover(query, { signal: context.stopping });
    if (!req.header("accept")?.includes("application/x-ndjson")) {
      return Response.json({ nodes: await Array.fromAsync(found) });
    }
    return new Response(ReadableStream.from(lines(found)), {
      headers: { "content-type": "application/x-ndjson" },
    });
  });
  app.get("/health", () => Response.json({ status: "ok" }));
  app.get("/ready", () => readiness(context));
  app.get("/metrics", () => {
    const type = "text/plain; version=0.0.4; charset=utf-8";
    return new Response(context.metrics(), { headers: { "content-type": type } });
  });
  app.get("/version", () =>
    Response.json({
      name: RUNTIME_NAME,
      version: VERSION,
      deno: Deno.version.deno,
      v8: Deno.version.v8,
      arch: Deno.build.arch,
    }));
}
