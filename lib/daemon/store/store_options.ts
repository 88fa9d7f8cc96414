/**
 * What the job store is given and gives.
 * @module
 */
import type { OutputStream } from "./job_record.ts";
import type { WriteOptions } from "./group_commit.ts";

/** Options of the job store. */
export interface JobStoreOptions {
  /** Size of the cache of modules and inputs, in bytes. */
  cacheBytes: number;
}

/** Options of accepting a job. */
export interface AcceptJobOptions extends WriteOptions {
  /** Modules and inputs that it needs. */
  blobs: Iterable<string>;
  /** Jobs before it. */
  position: number;
  /** Whether its name has just been drawn, so that no other job has it. @default {false} */
  isNew?: boolean | undefined;
}

/** Bytes of a stream, in order. */
export interface OutputChunk {
  stream: OutputStream;
  offset: number;
  data: Uint8Array;
}
