/**
 * Derives the in-toto statement of a claim and the bytes that a node signs to attest it (DSSE v1).
 *
 * Both follow from the claim alone, so that nodes that agree sign the same bytes.
 *
 * @module
 */
import { concat } from "../util/mod.ts";
import { canonicalBytes } from "./json.ts";
import type { Claim, Hash } from "./types.gen.ts";

/** `_type` of an in-toto Statement v1. */
export const STATEMENT_TYPE = "https://in-toto.io/Statement/v1";

/** `predicateType` of a claim. */
export const PREDICATE_TYPE = "urn:plasm:execution:v0.2";

/** DSSE payload type of an in-toto statement. */
export const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/** An in-toto Statement v1 whose predicate is a claim. */
export interface Statement {
  /** Always {@linkcode STATEMENT_TYPE}. */
  _type: typeof STATEMENT_TYPE;
  /** Always {@linkcode PREDICATE_TYPE}. */
  predicateType: typeof PREDICATE_TYPE;
  /** The claim. */
  predicate: Claim;
  /** What came out: `stdout`, `stderr`, and the outputs by guest path in the order of canonical JSON. */
  subject: {
    /** `stdout`, `stderr` or a guest path. */
    name: string;
    /** SHA-256 in hex. */
    digest: { sha256: string };
  }[];
}

/** Derives the statement of a claim. */
export function statementOf(claim: Claim): Statement {
  const { stdout, stderr, outputs } = claim;
  return {
    _type: STATEMENT_TYPE,
    predicateType: PREDICATE_TYPE,
    predicate: claim,
    subject: [
      subjectOf("stdout", stdout.hash),
      subjectOf("stderr", stderr.hash),
      // By UTF-16 code units, as canonical JSON; an object in JavaScript has numeric names first.
      ...Object.keys(outputs).sort().map((path) => subjectOf(path, outputs[path]!.hash)),
    ],
  };
}

function subjectOf(name: string, hash: Hash): Statement["subject"][number] {
  return { name, digest: { sha256: hash.replace("sha256:", "") } };
}

/** Canonical JSON of the statement of a claim: the payload of a DSSE envelope. */
export function statementBytes(claim: Claim): Uint8Array {
  return canonicalBytes(statementOf(claim));
}

/** The bytes signed for a payload of {@linkcode PAYLOAD_TYPE}: DSSE v1's pre-authentication encoding. */
export function attestedBytes(payload: Uint8Array): Uint8Array {
  const head = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `;
  return concat([new TextEncoder().encode(head), payload]);
}
