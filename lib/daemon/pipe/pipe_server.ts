/**
 * Serves `POST /v1/pipe`: streams a job's standard input and output over one connection without storing them.
 *
 * The request is an upgrade (RFC 9110, section 7.8): HTTP ends with the response 101. `Deno.serve` does not expose the
 * connection, so the connection guard reads the request head and passes the connection on.
 * @module
 */
import type { Logger } from "@logtape/logtape";
import { encodePipeJson, PIPE_PROTOCOL, PipeConn, PipeFrame } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { limitsOf } from "../../sandbox/mod.ts";
import { deadline } from "../../util/async/mod.ts";
import { writeAll } from "../../util/mod.ts";
import {
  type ApiContext,
  type ByteSource,
  encodeResponse,
  errorResponse,
  jobJson,
  readJsonBody,
  type ReceivedUpgrade,
  rejectUpgrade,
  submissionOf,
} from "../api/mod.ts";
import type { Submission } from "../jobs/mod.ts";
import { PipedRun } from "./piped_client.ts";

/** Time for which a rejected client may continue to send before it reads the response, in milliseconds. */
const LINGER_MS = 1000;

function usage(why: string, hint?: string): PlasmError {
  return new PlasmError("usage", `Cannot pipe job: ${why}`, hint === undefined ? {} : { hint });
}

function checkUpgrade({ headers }: ReceivedUpgrade["head"]): void {
  const words = (name: string): string[] =>
    (headers.get(name) ?? "").toLowerCase().split(",").map((word) => word.trim());
  if (!words("connection").includes("upgrade")) rejectUpgrade();
  if (!words("upgrade").includes(PIPE_PROTOCOL)) rejectUpgrade();
}

async function pipedSubmission(body: unknown, maxBytes: number): Promise<Submission> {
  const submission = await submissionOf(body);
  if (submission.stdin !== undefined) throw usage("stdin is in the request", "Send it in frames");
  if (submission.target !== undefined) throw usage("target is not supported");
  if (submission.manifest.stdin_hash !== undefined) {
    throw usage("manifest has stdin_hash, which is unknown until stdin ends");
  }
  // Streams that are not stored have separate limits.
  return { ...submission, piped: true, ceilings: { output_bytes: maxBytes } };
}

/** Accepted job and its client. */
interface Accepted {
  id: string;
  run: PipedRun;
}

/** Reads a request's body, submits its job and responds; this connection becomes the job's client. */
async function accept(
  conn: Deno.Conn,
  request: ReceivedUpgrade,
  context: ApiContext,
): Promise<Accepted> {
  const { api } = context.config();
  const idleMs = api.idle_timeout_seconds * 1000;
  const { head: { method, target, headers } } = request;
  checkUpgrade(request.head);
  const { body, rest } = bodyOf(conn, request);
  const url = `http://localhost${target}`;
  const init = { method, headers: [...headers], body };
  const json = await readJsonBody(new Request(url, init), {
    maxBytes: api.request_bytes,
    idleMs,
  });
  const submission = await pipedSubmission(json, api.piped_bytes);
  const { streams, jobs } = context;
  if (streams.count >= api.max_streams) {
    throw new PlasmError("busy", `Cannot pipe job: ${api.max_streams} streams are open`, {
      retryAfterMs: 1000,
      details: { allowed: api.max_streams },
    });
  }
  streams.count++;
  const response = Promise.withResolvers<Uint8Array>();
  let run: PipedRun | undefined;
  try {
    const ceilings = { ...context.config().jobs.ceilings, output_bytes: api.piped_bytes };
    const { wallTimeMs } = limitsOf(submission.manifest.resources, ceilings);
    run = new PipedRun(new PipeConn(conn, { before: rest(), head: response.promise }), {
      maxBytes: api.piped_bytes,
      maxMs: wallTimeMs + idleMs,
    });
    const { id } = await jobs.submit(submission, { pipe: run });
    response.resolve(upgradeResponse(id));
    run.watchClient();
    return { id, run };
  } catch (error) {
    streams.count--;
    run?.release();
    throw error;
  }
}

/** Encodes the response 101, which ends HTTP on a connection. */
function upgradeResponse(id: string): Uint8Array {
  const head = [
    "HTTP/1.1 101 Switching Protocols",
    "connection: Upgrade",
    `upgrade: ${PIPE_PROTOCOL}`,
    `location: /v1/jobs/${id}`,
  ];
  return new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`);
}

/** Responds with an error and waits until the client has closed its side. */
async function reject(conn: Deno.Conn, error: unknown): Promise<void> {
  await writeAll(conn, await encodeResponse(errorResponse(error)));
  await conn.closeWrite();
  const unread = new Uint8Array(READ_BYTES);
  while (await conn.read(unread) !== null);
}

/** Size of a read of the body, in bytes. */
const BODY_READ_BYTES = 16 * 1024;

/** Buffer size for discarded input, in bytes. */
const READ_BYTES = 64 * 1024;

/** Sends the result to the client when the job finishes. */
async function finish(id: string, run: PipedRun, { jobs, store }: ApiContext): Promise<void> {
  const onDisconnect = () => void jobs.cancel(id).catch(() => {}); // finished or finishing
  run.lost.addEventListener("abort", onDisconnect, { once: true });
  if (run.lost.aborted) onDisconnect();
  await jobs.ended(id);
  run.lost.removeEventListener("abort", onDisconnect);
  const job = store.get(id);
  const fault = run.lost.aborted
    ? PlasmError.from(run.lost.reason)
    : job === undefined
    ? new PlasmError("not-found", `Cannot send the result of ${id}: it was deleted`)
    : undefined;
  await (fault !== undefined
    ? run.end(PipeFrame.Failed, encodePipeJson({ error: fault.toJSON() }))
    : run.end(PipeFrame.Result, encodePipeJson({ job: jobJson(job!), receipt: job!.receipt })));
}

/** Serves a connection whose first request is `POST /v1/pipe` until it ends; never throws. */
export async function servePipe(
  conn: Deno.Conn,
  request: ReceivedUpgrade,
  { context, log }: { context: ApiContext; log: Logger },
): Promise<void> {
  let accepted: Accepted;
  try {
    accepted = await accept(conn, request, context);
  } catch (error) {
    if (!(error instanceof PlasmError)) log.error("request-failed", { error });
    context.refusals.add(error, { method: "POST", path: request.head.target });
    const linger = { ms: LINGER_MS, error: () => new Error("The client is still sending") };
    await deadline(reject(conn, error), linger).catch(() => {}); // or the client has disconnected
    return close(conn);
  }
  const { id, run } = accepted;
  try {
    await finish(id, run, context);
    await run.endOutput();
  } catch (error) {
    log.error("request-failed", { error });
  } finally {
    context.streams.count--;
    run.close();
  }
}

function close(conn: Deno.Conn): void {
  try {
    conn.close();
  } catch {
    // Already closed.
  }
}

/**
 * Streams the body after a head, up to its declared length.
 *
 * @throws {PlasmError} `usage` if the length is missing
 */
function bodyOf(conn: ByteSource, { head, rest: received }: ReceivedUpgrade): {
  body: ReadableStream<Uint8Array<ArrayBuffer>>;
  /** Bytes read after the body; valid once the body has been read. */
  rest: () => Uint8Array;
} {
  if (typeof head.length !== "number" || !head.headers.has("content-length")) {
    throw usage("upgrade needs content-length and no transfer-encoding");
  }
  let left = head.length;
  let rest = received.slice();
  const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
    async pull(controller) {
      if (left === 0) return controller.close();
      let part = rest.subarray(0, left);
      if (part.length > 0) rest = rest.subarray(part.length);
      else {
        const buffer = new Uint8Array(Math.min(left, BODY_READ_BYTES));
        const count = await conn.read(buffer);
        if (count === null) throw new TypeError("The client has disconnected");
        part = buffer.subarray(0, count);
      }
      left -= part.length;
      controller.enqueue(part);
    },
  }, { highWaterMark: 0 });
  return { body, rest: () => rest };
}
