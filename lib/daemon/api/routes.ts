/**
 * Routes of jobs, blobs and the node.
 * @module
 */
import { type JsonValue, PlasmError } from "../../core/errors/mod.ts";
import { PIPE_PROTOCOL } from "../../api/mod.ts";
import { RUNTIME_NAME, VERSION } from "../../core/mod.ts";
import { localRuntime } from "../../sandbox/mod.ts";
import { NODE_CAPABILITIES, type Submission } from "../jobs/mod.ts";
import type { DaemonNetwork } from "./api_context.ts";
import { FINAL_STATES, type JobRecord, type OutputStream } from "../store/mod.ts";
import type { ApiContext } from "./api_context.ts";
import { eventStream } from "./event_stream.ts";
import { readBody, readJsonBody, requireType } from "./http_messages.ts";
import { jobJson, resultJson } from "./job_json.ts";
import { hashParam, integerParam, jobParam, listParams, submissionOf } from "./job_request.ts";
import type { Hono } from "hono";

/** Path of piped runs. A request that asks for the upgrade is served by the connection guard and never reaches the routes. */
export const PIPE_PATH = "/v1/pipe";

/**
 * Refuses a request for a piped run that does not ask for the upgrade.
 *
 * @throws {PlasmError} `usage`
 */
export function rejectUpgrade(): never {
  throw new PlasmError(
    "usage",
    `Cannot pipe job: the request asks for no upgrade to ${PIPE_PROTOCOL}`,
    {
      hint:
        `Send Connection: Upgrade and Upgrade: ${PIPE_PROTOCOL}, as the first request of a connection`,
    },
  );
}

function findJob(context: ApiContext, param: string): JobRecord {
  const job = context.store.get(jobParam(param));
  if (job !== undefined) return job;
  throw new PlasmError("not-found", `Cannot find job: no job ${param}`, {
    hint: "It may have been deleted, see retention in the configuration",
  });
}

function tell(context: ApiContext, job: JobRecord): ReturnType<typeof jobJson> {
  return jobJson(job, context.jobs.position(job));
}

function listJobs(context: ApiContext, url: URL): Response {
  const { before, ...filter } = listParams(url);
  context.store.settle(); // it gives jobs their place in the list
  const cursor = before === undefined ? undefined : findJob(context, before).seq;
  const jobs = context.store.list({ ...filter, before: cursor });
  return Response.json({
    jobs: jobs.map((job) => tell(context, job)),
    next: jobs.length === filter.limit ? jobs.at(-1)?.id ?? null : null,
  });
}

function openEvents(context: ApiContext, job: JobRecord, request: Request): Response {
  const url = new URL(request.url);
  const max = Number.MAX_SAFE_INTEGER;
  const lastId = request.headers.get("last-event-id");
  const resumed = lastId !== null && /^\d{1,15}$/.test(lastId) ? Number(lastId) : 0;
  const after = integerParam(url, "after", { fallback: resumed, max });
  const follow = url.searchParams.get("follow") !== "false";
  const format = request.headers.get("accept")?.includes("text/event-stream") ? "sse" : "ndjson";
  const { max_streams } = context.config().api;
  if (context.streams.count >= max_streams) {
    throw new PlasmError("busy", `Cannot open events: ${max_streams} streams are open`, {
      retryAfterMs: 1000,
      details: { allowed: max_streams },
    });
  }
  context.streams.count++;
  const body = eventStream(job, {
    store: context.store,
    jobs: context.jobs,
    after,
    follow,
    format,
    signal: context.stopping,
    onEnd: () => context.streams.count--,
  });
  return new Response(body, {
    headers: {
      "content-type": format === "sse" ? "text/event-stream" : "application/x-ndjson",
      "cache-control": "no-store",
    },
  });
}

function output(context: ApiContext, job: JobRecord, stream: OutputStream, url: URL): Response {
  const offset = integerParam(url, "offset", { fallback: 0, max: Number.MAX_SAFE_INTEGER });
  if (job.piped) {
    throw new PlasmError("not-found", `Cannot give ${stream}: it was piped to the job's client`, {
      hint: "What a piped job writes is not kept; its receipt has the hash",
    });
  }
  const chunks = context.store.readOutput(job, stream, offset);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: () => void chunks.return(),
  }, { highWaterMark: 0 });
  return new Response(body, {
    headers: {
      "content-type": "application/octet-stream",
      // Output is a stranger's: a browser must not take it for a page.
      "x-content-type-options": "nosniff",
    },
  });
}

function receipt(job: JobRecord): Response {
  if (job.receipt !== null) return Response.json(job.receipt);
  if (FINAL_STATES.includes(job.state)) {
    throw new PlasmError("not-found", `Cannot give receipt: the job ${job.state} without one`);
  }
  throw new PlasmError("conflict", `Cannot give receipt: the job is ${job.state}`, {
    retryable: true,
    retryAfterMs: 1000,
  });
}

/** The submission in a request's body. */
async function readSubmission(context: ApiContext, request: Request): Promise<Submission> {
  const { request_bytes, idle_timeout_seconds } = context.config().api;
  const body = await readJsonBody(request, {
    maxBytes: request_bytes,
    idleMs: idle_timeout_seconds * 1000,
  });
  return await submissionOf(body);
}

/** How long `/v1/run` waits for a job's end, where the client does not say, in seconds. */
const WAIT_SECONDS = 10;

/** The longest that it waits, in seconds: below the minute after which a silent connection is closed. */
const MAX_WAIT_SECONDS = 50;

/** Runs a job in one request and returns the complete result, independent of the disk. */
async function runJob(context: ApiContext, request: Request): Promise<Response> {
  const { jobs, store, stopping } = context;
  // Most say nothing: an address is not taken apart for that.
  const wait = request.url.includes("?")
    ? integerParam(new URL(request.url), "wait", { fallback: WAIT_SECONDS, max: MAX_WAIT_SECONDS })
    : WAIT_SECONDS;
  const { id } = await jobs.submit(await readSubmission(context, request), {
    durability: "buffered",
  });
  const isOver = await jobs.untilOver(id, { timeoutMs: wait * 1000, signal: stopping });
  const job = store.get(id);
  if (job === undefined) {
    throw new PlasmError("not-found", `Cannot send the result of ${id}: it was deleted`);
  }
  const headers = { location: `/v1/jobs/${id}` };
  if (isOver) return Response.json(await resultJson(job, store), { headers });
  return Response.json({ job: tell(context, job) }, { status: 202, headers });
}

/** Adds the routes of jobs. */
export function addJobRoutes(app: Hono, context: ApiContext): void {
  app.post("/v1/jobs", async ({ req }) => {
    const job = await context.jobs.submit(await readSubmission(context, req.raw));
    return Response.json(tell(context, context.store.get(job.id) ?? job), {
      status: 201,
      headers: { location: `/v1/jobs/${job.id}` },
    });
  });
  app.post("/v1/run", ({ req }) => runJob(context, req.raw));
  app.post(PIPE_PATH, () => rejectUpgrade());
  app.get("/v1/jobs", ({ req }) => listJobs(context, new URL(req.url)));
  app.get("/v1/jobs/:id", ({ req }) => {
    const job = findJob(context, req.param("id"));
    return Response.json({ ...tell(context, job), manifest: job.manifest });
  });
  app.delete("/v1/jobs/:id", async ({ req }) => {
    const { id } = findJob(context, req.param("id"));
    return Response.json(tell(context, await context.jobs.cancel(id)));
  });
  app.get("/v1/jobs/:id/events", ({ req }) => {
    return openEvents(context, findJob(context, req.param("id")), req.raw);
  });
  for (const stream of ["stdout", "stderr"] as const) {
    app.get(`/v1/jobs/:id/${stream}`, ({ req }) => {
      return output(context, findJob(context, req.param("id")), stream, new URL(req.url));
    });
  }
  app.get("/v1/jobs/:id/receipt", ({ req }) => receipt(findJob(context, req.param("id"))));
}

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
