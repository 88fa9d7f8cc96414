/**
 * Converts jobs, events and errors to their API form (schemas/openapi.json) and streams events.
 * @module
 */
import { type EventJson, isFinalEvent, type JobJson, type JobResultJson } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { concat } from "../../util/mod.ts";
import type { Jobs } from "../jobs/mod.ts";
import type { JobRecord, JobStore, RecordedEvent } from "../store/mod.ts";

function time(ms: number): string {
  return new Date(ms).toISOString();
}

/** Converts a job. */
export function jobJson(job: JobRecord, position?: number | undefined): JobJson {
  return {
    id: job.id,
    submitter: job.submitter,
    state: job.state,
    status: job.status,
    exit_code: job.exitCode,
    message: job.message,
    error: job.error,
    position: position ?? null,
    priority: job.priority,
    manifest_hash: job.manifestHash,
    module_hash: job.moduleHash,
    stdin_hash: job.stdinHash,
    nonce: job.nonce,
    target: job.target,
    peer: job.peer,
    attempts: job.attempts,
    created_at: time(job.createdAt),
    started_at: job.startedAt === null ? null : time(job.startedAt),
    finished_at: job.finishedAt === null ? null : time(job.finishedAt),
    piped: job.piped,
    usage: job.receipt?.run.usage ?? null,
    // Piped output is not stored: the receipt has its size.
    stdout_bytes: job.piped ? job.receipt?.claim.stdout.bytes ?? 0 : job.stdoutBytes,
    stderr_bytes: job.piped ? job.receipt?.claim.stderr.bytes ?? 0 : job.stderrBytes,
    files_bytes: job.filesBytes,
    left_behind: job.leftBehind,
    backtrace: job.backtrace?.map((frame) => ({ ...frame })) ?? null,
  };
}

/** Converts an event. */
export function eventJson(event: RecordedEvent): EventJson {
  const at = time(event.at);
  switch (event.type) {
    case "stdout":
    case "stderr":
    case "files":
      // Read without files.
      if (event.type === "files") throw new PlasmError("internal", "Unexpected event: files");
      return { ...event, type: event.type, at, data: event.data.toBase64() };
    case "queued":
      return { id: event.id, at, type: event.type, position: event.position };
    case "finished": {
      const { status, exitCode, message = null } = event.outcome;
      return { id: event.id, at, type: event.type, status, exit_code: exitCode, message };
    }
    default:
      return { ...event, at };
  }
}

/** Maximum output per stream in a result, in bytes; more must be read from the output route. */
const INLINE_OUTPUT_BYTES = 64 * 1024;

async function inlineOutput(
  job: JobRecord,
  stream: "stdout" | "stderr",
  store: JobStore,
): Promise<string | null> {
  const bytes = stream === "stdout" ? job.stdoutBytes : job.stderrBytes;
  if (bytes > INLINE_OUTPUT_BYTES) return null;
  if (bytes === 0) return "";
  const whole = new Uint8Array(bytes);
  let at = 0;
  for await (const part of store.readOutput(job, stream)) {
    whole.set(part, at);
    at += part.length;
  }
  if (at < bytes) {
    throw new PlasmError("state", `Cannot read ${stream}: it ends at ${at} of ${bytes}`);
  }
  return whole.toBase64();
}

/** Converts a finished job with its output. */
export async function resultJson(job: JobRecord, store: JobStore): Promise<JobResultJson> {
  return {
    job: jobJson(job),
    receipt: job.receipt,
    stdout: await inlineOutput(job, "stdout", store),
    stderr: await inlineOutput(job, "stderr", store),
  };
}

/**
 * Interval of heartbeats on an idle event stream, in milliseconds: proxies and the connection guard usually close a
 * silent connection after a minute.
 */
const HEARTBEAT_MS = 15_000;

/** Interval at which the position of a queued job is checked, in milliseconds. */
const POSITION_MS = 500;

/** Options of {@linkcode eventStream}. */
export interface EventStreamOptions {
  store: JobStore;
  jobs: Jobs;
  /** Only events with a greater id. */
  after: number;
  /** Whether to wait for further events. */
  follow: boolean;
  /** Format of the events. */
  format: "ndjson" | "sse";
  /** Ends the stream; the client may resume it. */
  signal: AbortSignal;
  /** Called once when the stream ends. */
  onEnd: () => void;
}

const encoder = new TextEncoder();

function encode(event: EventJson, format: EventStreamOptions["format"]): Uint8Array {
  const json = JSON.stringify(event);
  return encoder.encode(
    format === "sse" ? `id: ${event.id}\nevent: ${event.type}\ndata: ${json}\n\n` : `${json}\n`,
  );
}

function heartbeat(format: EventStreamOptions["format"]): Uint8Array {
  return encoder.encode(format === "sse" ? ":\n\n" : "\n");
}

/** Output files have routes of their own. */
const WITHOUT_FILES = { skipsFiles: true };

async function* eventTexts(
  job: JobRecord,
  options: EventStreamOptions & { signal: AbortSignal },
): AsyncGenerator<Uint8Array, void, void> {
  const { store, jobs, format, follow, signal } = options;
  let last = options.after;
  let position: number | undefined;
  let silentSince = performance.now();
  while (true) {
    for (const event of await store.eventsAfter(job, last, WITHOUT_FILES)) {
      last = event.id;
      if (event.type === "queued") position = event.position;
      yield encode(eventJson(event), format);
      silentSince = performance.now();
      if (isFinalEvent(event)) return;
    }
    if (signal.aborted) return;
    if (store.hasEventsAfter(job, last, WITHOUT_FILES)) continue;
    const current = store.get(job.id);
    // A finished job has sent its final event; a missing one was deleted.
    if (!follow || current === undefined || current.finishedAt !== null) return;
    const now = jobs.position(current);
    if (now !== undefined && now !== position) {
      position = now;
      // Not stored and without an id: a client that resumes does not need it.
      yield encode(
        { id: last, at: new Date().toISOString(), type: "queued", position: now },
        format,
      );
      silentSince = performance.now();
    }
    if (performance.now() - silentSince >= HEARTBEAT_MS) {
      yield heartbeat(format);
      silentSince = performance.now();
    }
    const timeoutMs = now === undefined ? HEARTBEAT_MS : POSITION_MS;
    if (!store.hasEventsAfter(job, last, WITHOUT_FILES)) {
      await store.changes.wait(job.id, { signal, timeoutMs });
    }
  }
}

/** Streams a job's events; reads them from the store as the client reads, so that a slow client uses no memory. */
export function eventStream(
  job: JobRecord,
  options: EventStreamOptions,
): ReadableStream<Uint8Array> {
  const stopped = new AbortController();
  const signal = AbortSignal.any([options.signal, stopped.signal]);
  const texts = eventTexts(job, { ...options, signal });
  let ended = false;
  const end = (): void => {
    if (ended) return;
    ended = true;
    stopped.abort();
    options.onEnd();
  };
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { done, value } = await texts.next();
        if (!done) return controller.enqueue(value);
        end();
        controller.close();
      } catch (error) {
        end();
        throw error;
      }
    },
    cancel: end,
  }, { highWaterMark: 0 });
}

/** Creates a response of bytes that are read from the store as the client reads. */
export function bytesResponse(
  chunks: AsyncGenerator<Uint8Array, void, void>,
  headers: Record<string, string> = {},
): Response {
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
      // Deno.serve would compress what looks like text or an archive: slower than the socket.
      "cache-control": "no-transform",
      // Output is untrusted: a browser must not render it as a page.
      "x-content-type-options": "nosniff",
      ...headers,
    },
  });
}

/** Creates the response of an error: `{"error": {code, message, …}}` with the HTTP status of its code. */
export function errorResponse(thrown: unknown): Response {
  const error = PlasmError.from(thrown);
  const headers: Record<string, string> = {};
  if (error.retryAfterMs !== undefined) {
    headers["retry-after"] = String(Math.ceil(error.retryAfterMs / 1000));
  }
  if (error.code === "unauthorized") headers["www-authenticate"] = "Bearer";
  if (error.code === "method-not-allowed") headers["allow"] = String(error.details["allowed"]);
  return Response.json({ error: error.toJSON() }, { status: error.httpStatus, headers });
}

/** Reason phrases of the statuses that are sent without the HTTP server. */
const REASONS: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  408: "Request Timeout",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

/**
 * Encodes a response that is the last on its connection.
 *
 * @param options.method Method of the request; a response to HEAD has no body. @default {unknown}
 */
export async function encodeResponse(
  response: Response,
  { method }: { method?: string | undefined } = {},
): Promise<Uint8Array> {
  const body = await response.bytes();
  const lines = [`HTTP/1.1 ${response.status} ${REASONS[response.status] ?? ""}`];
  response.headers.set("content-length", String(body.length));
  response.headers.set("connection", "close");
  for (const [name, value] of response.headers) lines.push(`${name}: ${value}`);
  const head = encoder.encode(`${lines.join("\r\n")}\r\n\r\n`);
  return method === "HEAD" ? head : concat([head, body]);
}
