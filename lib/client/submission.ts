/**
 * Options of a submission, and the body of the request that carries it.
 *
 * @module
 */
import type { JobTarget } from "../api/mod.ts";
import type { ManifestOptions } from "../core/mod.ts";
import type { RequestOptions } from "./daemon_transport.ts";

/** Options of a submission. */
export interface SubmitOptions extends RequestOptions {
  /** Fields of the manifest. @default {defaults of every field} */
  manifest?: Omit<ManifestOptions, "module_hash"> | undefined;
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
  /** Files given to the job by guest path; a path that ends in / is a directory. @default {none} */
  inputs?: Readonly<Record<string, Uint8Array>> | undefined;
  /** 64 hex digits that the receipt must carry. @default {chosen by the daemon} */
  nonce?: string | undefined;
  /** Submitter of the job; the queue takes submitters in turn. @default {none} */
  submitter?: string | undefined;
  /** Runs the job on another node, `{}` on any; the receipt is that node's. @default {this node} */
  target?: JobTarget | undefined;
}

/** The body of a request that submits a job. */
export interface JobSubmission {
  /** Fields of the manifest. */
  manifest: ManifestOptions;
  /** Nonce of the receipt. */
  nonce?: string;
}
