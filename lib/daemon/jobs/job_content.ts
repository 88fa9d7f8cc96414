/**
 * What a job is given, from wherever it is kept.
 * @module
 */
import { EMPTY_HASH } from "../../core/mod.ts";
import type { JobRecord, JobStore } from "../store/mod.ts";

/** Files that the job's manifest names, by guest path. */
export async function readInputs(
  job: JobRecord,
  store: JobStore,
): Promise<Record<string, Uint8Array>> {
  const inputs: Record<string, Uint8Array> = {};
  for (const [path, hash] of Object.entries(job.manifest.inputs ?? {})) {
    inputs[path] = hash === EMPTY_HASH ? new Uint8Array() : await store.blobs.read(hash, "input");
  }
  return inputs;
}

/** Standard input above this is not held in memory, in bytes. */
const STREAMED_STDIN_BYTES = 4 * 2 ** 20;

/** Standard input of a job; the signal closes what is open of it. */
export async function readStdin(
  job: JobRecord,
  store: JobStore,
  signal: AbortSignal,
): Promise<Uint8Array | ReadableStream<Uint8Array>> {
  if (job.stdin !== null) return job.stdin;
  const { stdinHash } = job;
  if (stdinHash === null || stdinHash === EMPTY_HASH) return new Uint8Array();
  const { size } = store.blobs.info(stdinHash) ?? { size: 0 };
  if (size > STREAMED_STDIN_BYTES && job.target === null) {
    return await store.blobs.stream(stdinHash, { what: "input", signal });
  }
  return await store.blobs.read(stdinHash, "input");
}
