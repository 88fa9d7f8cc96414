/**
 * Takes a job: its documents and inputs are on the disk when this is done.
 * @module
 */
import type { Config } from "../../config/mod.ts";
import {
  createJobId,
  createNonce,
  EMPTY_HASH,
  type Hash,
  type Manifest,
  manifestHash,
  sha256,
} from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import { type Capacity, checkJob } from "./admission.ts";
import type { JobRecord, JobStore, JobTarget } from "../store/mod.ts";

/** A job that asks to be taken. */
export interface Submission {
  /** `local`, `local:<label>`, or `peer:<peer id>`. */
  submitter: string;
  manifest: Manifest;
  /** The manifest's hash, by who has computed it before. @default {computed} */
  manifestHash?: Hash | undefined;
  /** The client's nonce for the receipt. @default {a random one} */
  nonce?: string | undefined;
  /** Standard input. @default {the input of manifest.stdin_hash, else empty} */
  stdin?: Uint8Array | undefined;
  /** Whether its client gives it stdin and takes its output while it runs. @default {false} */
  piped?: boolean | undefined;
  /** What stdin is, where it is kept as an input already. @default {stdin's own hash} */
  stdinHash?: string | undefined;
  /** The job's name. @default {a random one} */
  id?: string | undefined;
  /** Where else it is to run. @default {here} */
  target?: JobTarget | undefined;
  /** Bounds below the node's own. @default {jobs.ceilings} */
  ceilings?: Partial<Config["jobs"]["ceilings"]> | undefined;
}

/** Options of {@linkcode acceptJob}. */
export interface AcceptOptions {
  store: JobStore;
  capacity: Capacity;
  /** Jobs before it, for its first event. */
  position: number;
  /** Whether no power cut may lose it either. @default {true} */
  durable?: boolean | undefined;
}

/** Standard input up to here is kept with its job, in bytes. */
const INLINE_STDIN_BYTES = 16 * 1024;

/** Keeps stdin that came with the job, as an input when it is not small. */
async function keepStdin(
  { stdin, stdinHash, manifest }: Submission,
  options: { store: JobStore; maxBytes: number },
): Promise<{ hash: string; inline?: Uint8Array | undefined }> {
  if (stdin === undefined) return { hash: stdinHash ?? manifest.stdin_hash ?? EMPTY_HASH };
  const hash = await sha256(stdin);
  if (manifest.stdin_hash !== undefined && manifest.stdin_hash !== hash) {
    throw new PlasmError(
      "bad-input",
      `Cannot accept job: stdin hashes to ${hash}, the manifest says ${manifest.stdin_hash}`,
      { details: { asked: manifest.stdin_hash, sent: hash } },
    );
  }
  if (stdin.length === 0) return { hash };
  if (stdin.length <= Math.min(INLINE_STDIN_BYTES, options.maxBytes)) {
    return { hash, inline: stdin };
  }
  const { blobs } = options.store;
  if (blobs.info(hash) === undefined) {
    const source = new Blob([stdin as Uint8Array<ArrayBuffer>]).stream();
    await blobs.put(source, { hash, maxBytes: options.maxBytes, what: "stdin" });
  }
  return { hash };
}

/**
 * Checks a job and saves it. Once this resolves and `saved` does no crash loses it.
 *
 * @throws {PlasmError} `over-limit`, `policy`, `not-found`, `bad-input`, `too-large`, `state`
 */
export async function acceptJob(
  submission: Submission,
  options: AcceptOptions,
): Promise<{ record: JobRecord; saved: Promise<void> }> {
  const { manifest, submitter, nonce = createNonce(), id = createJobId(), target } = submission;
  const { store, capacity } = options;
  const ceilings = { ...capacity.config.ceilings, ...submission.ceilings };
  const { piped = false } = submission;
  const { hash, inline } = await keepStdin(submission, { store, maxBytes: ceilings.input_bytes });
  const stdinHash = piped ? null : hash;
  const blobs = checkJob(
    {
      manifest,
      ceilings,
      // What came with the job needs no input of that hash.
      stdinHash: inline === undefined ? stdinHash ?? undefined : undefined,
      blob: (hash) => store.blobs.info(hash),
      isElsewhere: target !== undefined,
    },
    capacity,
  );
  const job = {
    id,
    submitter,
    manifest,
    manifestHash: submission.manifestHash ?? await manifestHash(manifest),
    nonce,
    moduleHash: manifest.module_hash,
    stdinHash,
    priority: manifest.priority,
    idempotent: manifest.idempotent,
    ceilings,
    createdAt: Date.now(),
    piped,
    target,
    stdin: inline,
  };
  const { position, durable } = options;
  return store.accept(job, { blobs, position, durable, isNew: submission.id === undefined });
}
