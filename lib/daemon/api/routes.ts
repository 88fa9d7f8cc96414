/**
 * Routes of the local API: jobs, blobs and the node, with errors, CORS and request logging.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import {
  type ChangesJson,
  type EvidenceEntryJson,
  type ListeningJson,
  type NodeRecordJson,
  PIPE_PROTOCOL,
} from "../../api/mod.ts";
import {
  type Config,
  configEntries,
  type LoadedConfig,
  type ReloadPlan,
} from "../../config/mod.ts";
import { type JsonValue, PlasmError } from "../../core/errors/mod.ts";
import { type Identity, type Receipt, RUNTIME_NAME, VERSION } from "../../core/mod.ts";
import { localRuntime } from "../../sandbox/mod.ts";
import { type Jobs, NODE_CAPABILITIES, type Submission } from "../jobs/mod.ts";
import { FINAL_STATES, type JobRecord, type JobStore } from "../store/mod.ts";
import {
  hashParam,
  integerParam,
  jobParam,
  listParams,
  readBody,
  readJsonBody,
  referenceOf,
  requireType,
  submissionOf,
} from "./requests.ts";
import type { ModuleFetcher } from "../module_fetcher.ts";
import type { RefusalLog } from "./refusal_log.ts";
import { addOutputFileRoutes, archiveOf } from "./output_file_routes.ts";
import type { DirectResponse } from "./guarded_connection.ts";
import type { RequestHead } from "./request_reader.ts";
import { changeStream } from "./change_stream.ts";
import { bytesResponse, errorResponse, eventStream, jobJson, resultJson } from "./responses.ts";
import { checkTcpRequest, corsHeaders, type TcpGuard } from "./tcp_guard.ts";
import { DATA_HEADERS } from "../web/mod.ts";
import { Hono } from "hono";

/** Dependencies shared by the API routes. */
export interface ApiContext {
  store: JobStore;
  jobs: Jobs;
  identity: Identity;
  /** Current configuration; a reload may change it. */
  config: () => Config;
  /** File and sources of the configuration. */
  origin: () => Pick<LoadedConfig, "file" | "sources">;
  /** State directory. */
  stateDir: string;
  /** Path of the Unix socket. */
  socket: string;
  /** Where the API listens. */
  listening: () => ListeningJson;
  /**
   * Reads the configuration again.
   *
   * @throws {PlasmError} `bad-config`, `conflict`
   */
  reload: () => Promise<ReloadPlan>;
  /** Logs refused requests. */
  refusals: RefusalLog;
  /** Number of executors. */
  executors: () => number;
  /** Renders `/metrics`. */
  metrics: () => string;
  /** Downloads modules by reference. */
  modules: ModuleFetcher;
  /** The peer network; `undefined` if the node has not joined one. */
  network: DaemonNetwork | undefined;
  /** Number of open event streams and piped runs. */
  streams: { count: number };
  /** Aborts when the server stops; ends event streams. */
  stopping: AbortSignal;
}

/** Peer network of the daemon. */
export interface DaemonNetwork extends AsyncDisposable {
  /** Lists connected peers, for `GET /v1/peers`. */
  peers(): JsonValue[];
  /** Number of open connections to peers. */
  peerCount(): number;
  /** Lists nodes with past results, for `GET /v1/nodes`. */
  records(): NodeRecordJson[];
  /** Lists stored evidence, for `GET /v1/evidence`. */
  evidence(): Promise<EvidenceEntryJson[]>;
  /** Reads stored evidence; undefined if there is none of that name. */
  readEvidence(name: string): Promise<JsonValue | undefined>;
  /**
   * Discovers nodes that run jobs, for `POST /v1/discover`; yields each as it responds.
   *
   * @throws {PlasmError} `usage` before the search starts
   */
  discover(query: unknown, options: { signal: AbortSignal }): AsyncIterable<JsonValue>;
  /** Network part of `GET /v1/node`: listen addresses, reachability. */
  status(): Record<string, JsonValue>;
  /** Figures of audits, for the metrics. */
  audits(): NetworkAudits;
}

/** Figures of audits of other nodes. */
export interface NetworkAudits {
  /** Number of audits by outcome. */
  counts: Readonly<Record<string, number>>;
  /** CPU time of all audits, in seconds. */
  cpuSeconds: number;
  /** Number of nodes that are banned now. */
  banned: number;
}

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

/** Maximum size of a discovery query, in bytes. */
const MAX_QUERY_BYTES = 64 * 1024;

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

function nodeLoad(context: ApiContext): ChangesJson["load"] {
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
