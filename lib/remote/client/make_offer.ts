/**
 * The client's offer, and whether an answer is one to it.
 * @module
 */
import { manifestHash } from "../../core/mod.ts";
import { PlasmError } from "../../core/errors/mod.ts";
import {
  BLOB_BYTES,
  type BlobRef,
  JOB_VERSION,
  MAX_INPUTS,
  type MessageOf,
  type Need,
  OFFER_VALID_MS,
  OFFERED_STDIN_BYTES,
} from "../wire/mod.ts";
import type { RemoteJob } from "./run_types.ts";

/** Inputs whose room in an offer its standard input takes. */
const STDIN_ROOM = OFFERED_STDIN_BYTES / BLOB_BYTES;

/** Standard input that goes along. */
async function smallStdin({ stdin, inputs }: RemoteJob): Promise<Uint8Array | null> {
  const { size } = stdin;
  if (size === 0 || size > OFFERED_STDIN_BYTES) return null;
  return inputs.length + STDIN_ROOM <= MAX_INPUTS ? await stdin.read(0, size) : null;
}

/** Options of {@linkcode makeOffer}. */
export interface MakeOfferOptions {
  /** The client's, for the receipt. */
  nonce: string;
  /** Unix milliseconds. */
  now: number;
  /** Whether the job may run before the client has heard that it is accepted. @default {false} */
  mayBegin?: boolean | undefined;
}

/** Makes an offer of a job. A node is let begin only where it can lack nothing but the module. */
export async function makeOffer(
  job: RemoteJob,
  { nonce, now, mayBegin = false }: MakeOfferOptions,
): Promise<MessageOf<"offer">> {
  const { manifest, module, stdin, inputs } = job;
  const stdinData = await smallStdin(job);
  const ref = ({ hash, size }: BlobRef): BlobRef => ({ hash, size });
  return {
    type: "offer",
    version: JOB_VERSION,
    manifest: { ...manifest },
    manifest_hash: await manifestHash(manifest),
    nonce,
    module: ref(module),
    stdin: ref(stdin),
    stdin_data: stdinData,
    inputs: inputs.map(ref),
    begin: mayBegin && inputs.length === 0 && (stdin.size === 0 || stdinData !== null),
    age_ms: 0,
    expires_at: now + OFFER_VALID_MS,
  };
}

/**
 * Checks that an acceptance is one of this offer.
 *
 * @throws {PlasmError} `protocol`, its `details.field` naming what is wrong
 */
export function checkAccept(accept: MessageOf<"accept">, offer: MessageOf<"offer">): void {
  for (const field of ["nonce", "manifest_hash"] as const) {
    if (accept[field] !== offer[field]) {
      throw new PlasmError(
        "protocol",
        `Cannot use answer: it accepts another offer by its ${field}`,
        {
          details: { field },
        },
      );
    }
  }
  if (accept.begun && !(offer.begin && accept.need.length === 0)) {
    const why = offer.begin ? "what it still asks for" : "being let";
    throw new PlasmError("protocol", `Cannot use answer: node has begun the job without ${why}`, {
      details: { field: "begun" },
    });
  }
  checkNeed(accept.need, offer);
}

/**
 * Checks that a node asks for nothing but what was offered, each once.
 *
 * @throws {PlasmError} `protocol`
 */
export function checkNeed(
  need: Need,
  { module, stdin, inputs }: { module: BlobRef; stdin: BlobRef; inputs: readonly BlobRef[] },
): void {
  const sizes = new Map([module, stdin, ...inputs].map(({ hash, size }) => [hash, size]));
  for (const { hash, offset } of need) {
    const size = sizes.get(hash);
    if (size === undefined || offset >= size) {
      throw new PlasmError(
        "protocol",
        `Cannot use answer: node asks for ${hash} from ${offset}, ` +
          (size === undefined ? "which was not offered" : `it has ${size} bytes`),
        { details: { field: "need" } },
      );
    }
    sizes.delete(hash);
  }
}
