/**
 * Routes of the node: identity, load, configuration, peers, evidence, health and metrics.
 * @module
 */
import type { Hono } from "hono";
import type { ChangesJson } from "../../api/mod.ts";
import { configEntries } from "../../config/mod.ts";
import { type JsonValue, PlasmError } from "../../core/errors/mod.ts";
import { RUNTIME_NAME, VERSION } from "../../core/mod.ts";
import { localRuntime } from "../../sandbox/mod.ts";
import { NODE_CAPABILITIES } from "../jobs/mod.ts";
import type { ApiContext, DaemonNetwork } from "./api_context.ts";
import { MAX_QUERY_BYTES, readJsonBody } from "./requests.ts";

function network(context: ApiContext): DaemonNetwork {
  if (context.network !== undefined) return context.network;
  throw new PlasmError("disabled", "Cannot reach peers: the network is off", {
    hint: "Set network.enabled and restart",
  });
}

/** Encodes values as lines. Waits for the first, whose error can then be reported by the response's status. */
async function lineStream(values: AsyncIterable<JsonValue>): Promise<ReadableStream<Uint8Array>> {
  const encoder = new TextEncoder();
  const iterator = values[Symbol.asyncIterator]();
  let first: IteratorResult<JsonValue> | undefined = await iterator.next();
  return new ReadableStream({
    async pull(controller) {
      const { done, value } = first ?? await iterator.next();
      first = undefined;
      if (done) controller.close();
      else controller.enqueue(encoder.encode(`${JSON.stringify(value)}\n`));
    },
    cancel: async () => void await iterator.return?.(),
  });
}

function readiness(context: ApiContext): Response {
  const { store, jobs } = context;
  const checks = {
    accepting: jobs.accepting,
    store: store.fault === undefined ? "ok" : store.fault.message,
  };
  const ready = checks.accepting && store.fault === undefined;
  const listening = context.listening();
  return Response.json({ ready, checks, listening }, { status: ready ? 200 : 503 });
}

/** Response with the metrics in Prometheus' text format. */
export function metricsResponse(context: ApiContext): Response {
  const type = "text/plain; version=0.0.4; charset=utf-8";
  return new Response(context.metrics(), { headers: { "content-type": type } });
}

/** Load of the node, as in `GET /v1/node`. */
export function nodeLoad(context: ApiContext): ChangesJson["load"] {
  const { waiting, running, runningMemoryMb, concurrency } = context.jobs.load;
  const { queue_max, memory_budget_mb } = context.config().jobs;
  const memory = { memory_mb: runningMemoryMb, memory_budget_mb };
  const executors = context.executors();
  const peers = context.network?.peerCount() ?? 0;
  return { queued: waiting, running, concurrency, queue_max, ...memory, executors, peers };
}

/** Maximum number of submitters in the node's usage. */
const MAX_SUBMITTERS = 100;

/** Adds the routes of the node. */
export function addNodeRoutes(app: Hono, context: ApiContext): void {
  app.get("/v1/node", () => {
    const { jobs } = context.config();
    return Response.json({
      peer_id: context.identity.peerId,
      public_key: context.identity.publicKey,
      runtime: localRuntime(),
      capabilities: NODE_CAPABILITIES,
      ceilings: jobs.ceilings,
      load: nodeLoad(context),
      usage: context.store.usage(MAX_SUBMITTERS).map((one) => ({
        submitter: one.submitter,
        jobs: one.jobs,
        cpu_seconds: one.cpuMs / 1000,
        output_bytes: one.outputBytes,
      })),
      network: context.network?.status() ?? null,
      listening: context.listening(),
    });
  });
  app.get("/v1/config", () => {
    const { file = null, sources } = context.origin();
    const given = Object.entries(sources).filter(([, source]) => source !== "default");
    return Response.json({
      file,
      state_dir: context.stateDir,
      socket: context.socket,
      config: configEntries(context.config()),
      sources: Object.fromEntries(given),
    });
  });
  app.post("/v1/reload", async () => {
    const { applied, ignored } = await context.reload();
    return Response.json({ applied, needs_restart: ignored });
  });
  app.get("/v1/peers", () => Response.json({ peers: network(context).peers() }));
  app.get("/v1/nodes", () => Response.json({ nodes: network(context).records() }));
  app.get("/v1/evidence", async () => {
    return Response.json({ evidence: await network(context).evidence() });
  });
  app.get("/v1/evidence/:name", async ({ req }) => {
    const name = req.param("name");
    const evidence = await network(context).readEvidence(name);
    if (evidence !== undefined) return Response.json(evidence);
    throw new PlasmError("not-found", `Cannot read evidence: none has the name ${name}`, {
      hint: "GET /v1/evidence lists the names; the latest 100 are stored",
    });
  });
  app.post("/v1/discover", async ({ req }) => {
    const idleMs = context.config().api.idle_timeout_seconds * 1000;
    const query = await readJsonBody(req.raw, { maxBytes: MAX_QUERY_BYTES, idleMs });
    const found = network(context).discover(query, { signal: context.stopping });
    if (!req.header("accept")?.includes("application/x-ndjson")) {
      return Response.json({ nodes: await Array.fromAsync(found) });
    }
    return new Response(await lineStream(found), {
      headers: { "content-type": "application/x-ndjson" },
    });
  });
  app.get("/openapi.json", async () => {
    const { default: document } = await import("../../../schemas/openapi.json", {
      with: { type: "json" },
    });
    return Response.json(document);
  });
  app.get("/health", () => Response.json({ status: "ok" }));
  app.get("/ready", () => readiness(context));
  app.get("/metrics", () => metricsResponse(context));
  app.get("/version", () =>
    Response.json({
      name: RUNTIME_NAME,
      version: VERSION,
      deno: Deno.version.deno,
      v8: Deno.version.v8,
      arch: Deno.build.arch,
    }));
}
