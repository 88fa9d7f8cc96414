/**
 * Stores and jobs that several of the store's tests use.
 * @module
 */
import { createJobId, createNonce } from "../../job/job_id.ts";
import { createManifest } from "../../job/manifest.ts";
import { DEFAULT_CEILINGS } from "../../sandbox/limits.ts";
import type { Receipt } from "../../job/types.ts";
import type { JobRecord, NewJob } from "../types.ts";
import { JobStore } from "./store.ts";

/** A hash of nothing that is there. */
export const HASH: string = `sha256:${"0".repeat(64)}`;

/** A job that has not been accepted yet. */
export function newJob(fields: Partial<NewJob> = {}): NewJob {
  return {
    id: createJobId(),
    submitter: "local",
    manifest: createManifest({ module_hash: HASH }),
    manifestHash: HASH,
    nonce: createNonce(),
    moduleHash: HASH,
    stdinHash: null,
    priority: "normal",
    idempotent: false,
    ceilings: DEFAULT_CEILINGS,
    createdAt: 1000,
    ...fields,
  };
}

/** Runs a test in a directory of its own. */
export async function inDir(test: (dir: string) => Promise<void> | void): Promise<void> {
  const dir = await Deno.makeTempDir();
  try {
    await test(dir);
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

/** Runs a test with a store. */
export function withStore(
  test: (store: JobStore, dir: string) => Promise<void>,
  options = { cacheBytes: 1e6 },
): Promise<void> {
  return inDir(async (dir) => {
    using store = new JobStore(dir, options);
    await test(store, dir);
  });
}

/** A job that has been accepted. */
export async function accepted(store: JobStore, fields: Partial<NewJob> = {}): Promise<JobRecord> {
  const job = newJob(fields);
  await store.accept(job, { blobs: [], position: 0 }).saved;
  return store.get(job.id)!;
}

/** The store keeps it, it does not look into it. */
export const RECEIPT: Receipt = { version: "0.1", nonce: "x" } as Receipt;

/** Ends a job. */
export async function end(store: JobStore, job: JobRecord, finishedAt: number): Promise<void> {
  await store.finish(
    job,
    { state: "finished", status: "exited", exitCode: 0, receipt: RECEIPT, finishedAt },
    { type: "finished", at: finishedAt, status: "exited", exitCode: 0, message: null },
  );
}
