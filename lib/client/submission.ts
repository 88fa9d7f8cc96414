/**
 * Options of a submission, and the body of the request that carries it.
 *
 * @module
 */
import type { JobTarget } from "../api/mod.ts";
import type { ManifestOptions } from "../core/mod.ts";
import type { RequestOptions } from "./daemon_transport.ts";

/** A job to submit. */
export interface SubmitOptions extends RequestOptions {
  /** What the job is and may use; what is left out has its default. @default {all defaults} */
  manifest?: Omit<ManifestOptions, "module_hash"> | undefined;
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
  /** Files given to the job by guest path; a path that ends in / is a directory. @default {none} */
  inputs?: Readonly<Record<string, Uint8Array>> | undefined;
  /** 64 hex digits that the receipt must carry. @default {chosen by the daemon} */
  nonce?: string | undefined;
  /** Whose job it is among the users of the daemon. @default {nobody in particular} */
  submitter?: string | undefined;
  /** Runs it on another node: `{}` on whoever is found; the receipt is that node's. @default {here} */
  target?: JobTarget | undefined;
}

/** The body of a request that submits a job. */
export interface JobSubmission {
  /** What the job is and may use. */
  manifest: ManifestOptions;
  /** What its receipt must carry. */
  nonce?: string;
}
