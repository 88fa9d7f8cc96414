/**
 * Serves `POST /v1/pipe`: streams a job's standard input and output over one connection without storing them. It is an upgrade (RFC 9110, section 7.8): HTTP ends with the answer 101.
 * @module
 */
import { encodePipeJson, PIPE_PROTOCOL, PipeConn, PipeFrame } from "../../api/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { limitsOf } from "../../sandbox/mod.ts";
import {
  type ApiContext,
  checkTcpRequest,
  errorResponse,
  jobJson,
  PIPE_PATH,
  readJsonBody,
  rejectUpgrade,
  submissionOf,
  type TcpGuardOptions,
} from "../api/mod.ts";
import type { Submission } from "../jobs/mod.ts";
import { PipedRun } from "./piped_client.ts";
import { bodyOf, readRequestHead, type RequestHead } from "./request_head.ts";
import type { Logger } from "@logtape/logtape";

/** How a connection begins that is to be served here. */
export const PIPE_START: Uint8Array = new TextEncoder().encode(`POST ${PIPE_PATH} `);

/** How long a client that was refused may go on sending, in milliseconds: it has to read the answer. */
const LINGER_MS = 1000;

/** Options of {@linkcode servePipe}. */
export interface PipeServerOptions {
  log: Logger;
  /** Who may call, on TCP. @default {any process that can open the socket} */
  guard?: (() => TcpGuardOptions) | undefined;
}

function usage(why: string, hint?: string): PlasmError {
  return new PlasmError("usage", `Cannot pipe job: ${why}`, hint === undefined ? {} : { hint });
}

function checkUpgrade({ headers }: RequestHead): void {
  const words = (name: string): string[] =>
    (headers.get(name) ?? "").toLowerCase().split(",").map((word) => word.trim());
  if (!words("connection").includes("upgrade")) rejectUpgrade();
  if (!words("upgrade").includes(PIPE_PROTOCOL)) rejectUpgrade();
}

async function pipedSubmission(body: unknown, maxBytes: number): Promise<Submission> {
  const submission = await submissionOf(body);
  if (submission.stdin !== undefined) throw usage("stdin is in the request", "Send it as frames");
  if (submission.target !== undefined) throw usage("it is to run on another node");
  if (submission.manifest.stdin_hash !== undefined) {
    throw usage("its manifest names stdin_hash, which only the end of stdin could show");
  }
  // Unstored streams have separate limits.
  return { ...submission, piped: true, ceilings: { output_bytes: maxBytes } };
}

/** A job with its client. */
interface Accepted {
  id: string;
  run: PipedRun;
}

/** Reads a request, takes its job and answers, with this connection as its client. */
async function accept(
  conn: Deno.Conn,
  first: Uint8Array,
  { context, guard }: { context: ApiContext } & Pick<PipeServerOptions, "guard">,
): Promise<Accepted> {
  const { api } = context.config();
  const idleMs = api.idle_timeout_seconds * 1000;
  const head = await readHeadInTime(conn, first, idleMs);
  const { method, target, headers } = head;
  const url = `http://localhost${target}`;
  if (guard !== undefined) await checkTcpRequest(new Request(url, { method, headers }), guard());
  checkUpgrade(head);
  const { body, rest } = bodyOf(conn, head);
  const json = await readJsonBody(new Request(url, { method, headers, body }), {
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
  const answer = Promise.withResolvers<Uint8Array>();
  let run: PipedRun | undefined;
  try {
    const ceilings = { ...context.config().jobs.ceilings, output_bytes: api.piped_bytes };
    const { wallTimeMs } = limitsOf(submission.manifest.resources, ceilings);
    run = new PipedRun(new PipeConn(conn, { before: rest(), head: answer.promise }), {
      maxBytes: api.piped_bytes,
      maxMs: wallTimeMs + idleMs,
    });
    const { id } = await jobs.submit(submission, { pipe: run });
    answer.resolve(switching(id));
    run.watch();
    return { id, run };
  } catch (error) {
    streams.count--;
    run?.release();
    throw error;
  }
}

/** The answer with which HTTP ends on a connection. */
function switching(id: string): Uint8Array {
  const head = [
    "HTTP/1.1 101 Switching Protocols",
    "connection: Upgrade",
    `upgrade: ${PIPE_PROTOCOL}`,
    `location: /v1/jobs/${id}`,
  ];
  return new TextEncoder().encode(`${head.join("\r\n")}\r\n\r\n`);
}

async function readHeadInTime(
  conn: Deno.Conn,
  first: Uint8Array,
  idleMs: number,
): Promise<RequestHead> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => {
    const message = `Cannot read request: its head did not come within ${idleMs} ms`;
    late.reject(new PlasmError("slow-request", message, { details: { idle_ms: idleMs } }));
  }, idleMs);
  const reading = readRequestHead(conn, first);
  reading.catch(() => {}); // left behind, it ends with the connection
  try {
    return await Promise.race([reading, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}

async function writeAll(conn: Deno.Conn, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length;) at += await conn.write(bytes.subarray(at));
}

/** Answers with an error, and lets the client read it before the connection is closed. */
async function refuse(conn: Deno.Conn, error: unknown): Promise<void> {
  const response = errorResponse(error);
  const body = await response.bytes();
  const lines = [`HTTP/1.1 ${response.status} ${PlasmError.from(error).code}`];
  response.headers.set("content-length", String(body.length));
  response.headers.set("connection", "close");
  for (const [name, value] of response.headers) lines.push(`${name}: ${value}`);
  const timer = setTimeout(() => conn.close(), LINGER_MS);
  try {
    await writeAll(conn, new TextEncoder().encode(`${lines.join("\r\n")}\r\n\r\n`));
    await writeAll(conn, body);
    await conn.closeWrite();
    const unread = new Uint8Array(READ_BYTES);
    while (await conn.read(unread) !== null);
  } finally {
    clearTimeout(timer);
  }
}

/** Buffer size for discarded input, in bytes. */
const READ_BYTES = 64 * 1024;

/** Sends the result to the client when the job finishes. */
async function finish(id: string, run: PipedRun, { jobs, store }: ApiContext): Promise<void> {
  const onGone = () => void jobs.cancel(id).catch(() => {}); // already finished or about to
  run.gone.addEventListener("abort", onGone, { once: true });
  if (run.gone.aborted) onGone();
  await jobs.over(id);
  run.gone.removeEventListener("abort", onGone);
  const job = store.get(id);
  const fault = run.gone.aborted
    ? PlasmError.from(run.gone.reason)
    : job === undefined
    ? new PlasmError("not-found", `Cannot send the result of ${id}: it was deleted`)
    : undefined;
  await (fault !== undefined
    ? run.end(PipeFrame.Failed, encodePipeJson({ error: fault.toJSON() }))
    : run.end(PipeFrame.Result, encodePipeJson({ job: jobJson(job!), receipt: job!.receipt })));
}

/**
 * Serves a connection that begins as such a request does, to its end; never throws.
 *
 * @param first What has been read of it.
 */
export async function servePipe(
  conn: Deno.Conn,
  first: Uint8Array,
  { context, log, guard }: { context: ApiContext } & PipeServerOptions,
): Promise<void> {
  let accepted: Accepted;
  try {
    accepted = await accept(conn, first, { context, guard });
  } catch (error) {
    if (!(error instanceof PlasmError)) log.error("request-failed", { error });
    await refuse(conn, error).catch(() => {}); // the client has disconnected
    return close(conn);
  }
  const { id, run } = accepted;
  try {
    await finish(id, run, context);
    await run.linger();
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
    // It was closed before.
  }
}
