/**
 * Adds the routes of a job's output files: their list, one file, and the archive of all.
 *
 * @module
 */
import type { Hono } from "hono";
import { findInArchive, type OutputFiles } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { FINAL_STATES, type JobRecord, type JobStore } from "../store/mod.ts";
import { integerParam } from "./requests.ts";
import { bytesResponse } from "./responses.ts";
import type { DirectResponse } from "./guarded_connection.ts";

/** Options of {@linkcode addOutputFileRoutes}. */
export interface OutputFileRouteOptions {
  /** Stores the jobs. */
  store: JobStore;
  /** Finds a job by the parameter of its route. */
  findJob: (id: string) => JobRecord;
  /** Aborts when the daemon stops. */
  stopping: AbortSignal;
}

/** How long a response waits for more of an archive, in milliseconds: a proxy closes a silent connection later. */
const FOLLOW_MS = 15_000;

/** Adds the routes. */
export function addOutputFileRoutes(
  app: Hono,
  { store, findJob, stopping }: OutputFileRouteOptions,
): void {
  app.get("/v1/jobs/:id/outputs", ({ req }) => {
    return Response.json({ outputs: outputsOf(findJob(req.param("id"))) });
  });
  app.get("/v1/jobs/:id/outputs.tar", ({ req }) => {
    const { chunks, headers } = archiveOf(findJob(req.param("id")), new URL(req.url), {
      store,
      stopping,
    });
    return bytesResponse(chunks, headers);
  });
  app.get("/v1/jobs/:id/outputs/:path{.+}", ({ req }) => {
    const job = findJob(req.param("id"));
    const path = req.param("path");
    const file = findInArchive(outputsOf(job), path);
    if (file === undefined) throw notFound(`the job returned no file ${JSON.stringify(path)}`);
    checkStored(job);
    return bytesResponse(
      limited(store.readOutput(job, "files", { offset: file.offset }), file.bytes),
      {
        "content-length": String(file.bytes),
      },
    );
  });
}

/** Options of {@linkcode archiveOf}. */
interface ArchiveOptions extends Pick<OutputFileRouteOptions, "store" | "stopping"> {
  /** Whether a chunk may be overwritten when the next is requested. @default {false} */
  reusesParts?: boolean | undefined;
}

/**
 * Opens the archive that a URL requests.
 *
 * @throws {PlasmError} `not-found` if the job returned no files, `conflict` if it has not finished, `usage`
 */
export function archiveOf(
  job: JobRecord,
  url: URL,
  { store, stopping, reusesParts }: ArchiveOptions,
): DirectResponse {
  const headers = { "content-type": "application/x-tar" };
  if (url.searchParams.get("follow") === "true") {
    checkStored(job);
    const offset = integerParam(url, "offset", { fallback: 0, max: Number.MAX_SAFE_INTEGER });
    return { headers, chunks: followed(job, { store, offset, stopping, reusesParts }) };
  }
  if (Object.keys(outputsOf(job)).length === 0) throw notFound("the job returned no files");
  checkStored(job);
  return {
    headers: { ...headers, "content-length": String(job.filesBytes) },
    chunks: store.readOutput(job, "files", { reusesParts }),
  };
}

/** Yields an archive while the job writes it. Ends when the attempt has ended, or has written nothing for a while. */
function followed(
  job: JobRecord,
  { store, offset, stopping: signal, reusesParts }: ArchiveOptions & { offset: number },
): AsyncGenerator<Uint8Array, void, void> {
  let isLast = false;
  const wait = async (): Promise<boolean> => {
    if (isLast) return false;
    const until = performance.now() + FOLLOW_MS;
    const { filesBytes = 0 } = store.get(job.id) ?? {};
    while (true) {
      const now = store.get(job.id);
      if (now === undefined || now.attempts > Math.max(job.attempts, 1)) return false;
      if (FINAL_STATES.includes(now.state)) return isLast = true;
      if (now.filesBytes > filesBytes) return true;
      const timeoutMs = until - performance.now();
      if (timeoutMs <= 0 || signal.aborted) return false;
      await store.changes.wait(job.id, { signal, timeoutMs });
    }
  };
  return store.readOutput(job, "files", { offset, wait, reusesParts });
}

/** Files of the receipt's claim. */
function outputsOf({ receipt, state }: JobRecord): OutputFiles {
  if (receipt !== null) return receipt.claim.outputs;
  if (FINAL_STATES.includes(state)) return {};
  throw new PlasmError("conflict", `Cannot read output files: the job is ${state}`, {
    retryable: true,
    retryAfterMs: 1000,
  });
}

function checkStored({ piped }: JobRecord): void {
  if (!piped) return;
  throw new PlasmError(
    "not-found",
    "Cannot read output files: they were piped to the job's client",
    {
      hint: "Files of a piped job are not stored; its receipt has the hashes",
    },
  );
}

function notFound(why: string): PlasmError {
  return new PlasmError("not-found", `Cannot read output files: ${why}`);
}

/** Yields the first bytes of chunks. */
async function* limited(
  chunks: AsyncGenerator<Uint8Array, void, void>,
  bytes: number,
): AsyncGenerator<Uint8Array, void, void> {
  let left = bytes;
  if (left === 0) return;
  for await (const chunk of chunks) {
    const part = chunk.subarray(0, left);
    left -= part.length;
    yield part;
    if (left === 0) return;
  }
  throw new PlasmError("state", `Cannot read output files: ${left} bytes are missing`);
}
