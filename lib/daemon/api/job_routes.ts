/**
 * Routes of jobs: submission, results, output, receipts and event streams.
 * @module
 */
import type { Hono } from "hono";
import { PIPE_PROTOCOL } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import type { Receipt } from "../../core/mod.ts";
import type { Submission } from "../jobs/mod.ts";
import { FINAL_STATES, type JobRecord } from "../store/mod.ts";
import type { ApiContext } from "./api_context.ts";
import { changeStream } from "./change_stream.ts";
import type { DirectResponse } from "./guarded_connection.ts";
import { nodeLoad } from "./node_routes.ts";
import { addOutputFileRoutes, archiveOf } from "./output_file_routes.ts";
import type { RequestHead } from "./request_reader.ts";
import { integerParam, jobParam, listParams, readJsonBody, submissionOf } from "./requests.ts";
import { bytesResponse, eventStream, jobJson, resultJson } from "./responses.ts";

/** Path of piped runs. The connection guard serves upgrade requests; they never reach the routes. */
export const PIPE_PATH = "/v1/pipe";

/**
 * Rejects a request for a piped run without an upgrade.
 *
 * @throws {PlasmError} `usage`
 */
export function rejectUpgrade(): never {
  throw new PlasmError(
    "usage",
    `Cannot pipe job: the request has no upgrade to ${PIPE_PROTOCOL}`,
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

function jobWithPosition(context: ApiContext, job: JobRecord): ReturnType<typeof jobJson> {
  return jobJson(job, context.jobs.position(job));
}

function listJobs(context: ApiContext, url: URL): Response {
  const { before, ...filter } = listParams(url);
  if (before !== undefined) findJob(context, before);
  const jobs = context.store.list({ ...filter, before });
  return Response.json({
    jobs: jobs.map((job) => jobWithPosition(context, job)),
    next: jobs.length === filter.limit ? jobs.at(-1)?.id ?? null : null,
  });
}

/**
 * Counts one more open event stream.
 *
 * @throws {PlasmError} `busy`
 */
function countStream({ config, streams }: ApiContext): void {
  const { max_streams } = config().api;
  if (streams.count >= max_streams) {
    throw new PlasmError("busy", `Cannot open events: ${max_streams} streams are open`, {
      retryAfterMs: 1000,
      details: { allowed: max_streams },
    });
  }
  streams.count++;
}

function openChanges(context: ApiContext, url: URL): Response {
  countStream(context);
  const body = changeStream({
    store: context.store,
    toJson: (job) => jobWithPosition(context, job),
    load: () => nodeLoad(context),
    follow: url.searchParams.get("follow") !== "false",
    signal: context.stopping,
    onEnd: () => context.streams.count--,
  });
  return new Response(body, {
    headers: { "content-type": "text/event-stream", "cache-control": "no-store" },
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
  countStream(context);
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

function output(
  context: ApiContext,
  job: JobRecord,
  stream: "stdout" | "stderr",
  url: URL,
): Response {
  const offset = integerParam(url, "offset", { fallback: 0, max: Number.MAX_SAFE_INTEGER });
  if (job.piped) {
    throw new PlasmError("not-found", `Cannot read ${stream}: it was piped to the job's client`, {
      hint: "Output of a piped job is not stored; its receipt has the hash",
    });
  }
  return bytesResponse(context.store.readOutput(job, stream, { offset }));
}

function receipt(job: JobRecord): Response {
  return Response.json(receiptOf(job));
}

/** The receipts of all nodes that returned the result. */
function receipts(job: JobRecord): Response {
  return Response.json([receiptOf(job), ...job.otherReceipts ?? []]);
}

function receiptOf(job: JobRecord): Receipt {
  if (job.receipt !== null) return job.receipt;
  if (FINAL_STATES.includes(job.state)) {
    throw new PlasmError(
      "not-found",
      `Cannot read receipt: the job ${job.state} without a receipt`,
    );
  }
  throw new PlasmError("conflict", `Cannot read receipt: the job is ${job.state}`, {
    retryable: true,
    retryAfterMs: 1000,
  });
}

/** Reads the submission in a request's body. */
async function readSubmission(context: ApiContext, request: Request): Promise<Submission> {
  const { request_bytes, idle_timeout_seconds } = context.config().api;
  const body = await readJsonBody(request, {
    maxBytes: request_bytes,
    idleMs: idle_timeout_seconds * 1000,
  });
  return await submissionOf(body);
}

/** Default time that `/v1/run` waits for a job's end, in seconds. */
const WAIT_SECONDS = 10;

/** Maximum time that `/v1/run` waits, in seconds: below the minute after which an idle connection is closed. */
const MAX_WAIT_SECONDS = 50;

/** Runs a job in one request; responds with the complete result before it is persisted. */
async function runJob(context: ApiContext, request: Request): Promise<Response> {
  const { jobs, store, stopping } = context;
  // Most requests have no query: skip parsing the URL.
  const wait = request.url.includes("?")
    ? integerParam(new URL(request.url), "wait", { fallback: WAIT_SECONDS, max: MAX_WAIT_SECONDS })
    : WAIT_SECONDS;
  const { id } = await jobs.submit(await readSubmission(context, request), {
    durability: "buffered",
  });
  const hasEnded = await jobs.waitForEnd(id, { timeoutMs: wait * 1000, signal: stopping });
  const job = store.get(id);
  if (job === undefined) {
    throw new PlasmError("not-found", `Cannot send the result of ${id}: it was deleted`);
  }
  const headers = { location: `/v1/jobs/${id}` };
  if (hasEnded) return Response.json(await resultJson(job, store), { headers });
  return Response.json({ job: jobWithPosition(context, job) }, { status: 202, headers });
}

/** Reports whether a target is an event stream, which may have no end. */
export function isEventStream(target: string): boolean {
  return /^\/v1\/(?:jobs\/[^/?]+\/events|changes)(?:\?|$)/.test(target);
}

/**
 * Opens the archive of output files for a request that needs no HTTP server, if it is one: not that of a page of another
 * origin, whose response has further headers.
 *
 * @throws {PlasmError} as the route of the archive
 */
export function openArchive(
  context: ApiContext,
  { method, target, headers }: RequestHead,
): DirectResponse | undefined {
  const id = /^\/v1\/jobs\/([\w-]+)\/outputs\.tar(?:\?|$)/.exec(target)?.[1];
  if (id === undefined || method !== "GET" || headers.has("origin")) return undefined;
  const url = new URL(target, "http://localhost");
  return archiveOf(findJob(context, id), url, { ...context, reusesParts: true });
}

/** Adds the routes of jobs. */
export function addJobRoutes(app: Hono, context: ApiContext): void {
  app.get("/v1/changes", ({ req }) => openChanges(context, new URL(req.url)));
  app.post("/v1/jobs", async ({ req }) => {
    const job = await context.jobs.submit(await readSubmission(context, req.raw));
    return Response.json(jobWithPosition(context, context.store.get(job.id) ?? job), {
      status: 201,
      headers: { location: `/v1/jobs/${job.id}` },
    });
  });
  app.post("/v1/run", ({ req }) => runJob(context, req.raw));
  app.post(PIPE_PATH, () => rejectUpgrade());
  app.get("/v1/jobs", ({ req }) => listJobs(context, new URL(req.url)));
  app.get("/v1/jobs/:id", ({ req }) => {
    const job = findJob(context, req.param("id"));
    return Response.json({ ...jobWithPosition(context, job), manifest: job.manifest });
  });
  app.delete("/v1/jobs/:id", async ({ req }) => {
    const { id } = findJob(context, req.param("id"));
    return Response.json(jobWithPosition(context, await context.jobs.cancel(id)));
  });
  app.get("/v1/jobs/:id/events", ({ req }) => {
    return openEvents(context, findJob(context, req.param("id")), req.raw);
  });
  for (const stream of ["stdout", "stderr"] as const) {
    app.get(`/v1/jobs/:id/${stream}`, ({ req }) => {
      return output(context, findJob(context, req.param("id")), stream, new URL(req.url));
    });
  }
  addOutputFileRoutes(app, {
    store: context.store,
    findJob: (id) => findJob(context, id),
    stopping: context.stopping,
  });
  app.get("/v1/jobs/:id/receipt", ({ req }) => receipt(findJob(context, req.param("id"))));
  app.get("/v1/jobs/:id/receipts", ({ req }) => receipts(findJob(context, req.param("id"))));
}
