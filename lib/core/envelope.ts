/**
 * Combines the attestations of receipts with one claim in a DSSE v1 envelope, and verifies envelopes.
 *
 * @module
 */
import { fromBase64, fromHex, toBase64, toHex } from "../util/mod.ts";
import { attestedBytes, PAYLOAD_TYPE, statementBytes } from "./attestation.ts";
import { differenceText, findClaimDifference } from "./claim_difference.ts";
import { PlasmError } from "./errors/mod.ts";
import { peerIdFromPublicKey } from "./ids.ts";
import { clip, parseJson } from "./json.ts";
import { MAX_RECEIPT_BYTES } from "./receipt.ts";
import { checkClaim } from "./claim.ts";
import { validateDocument } from "./schema.ts";
import { verifyBytes } from "./signature.ts";
import type { Claim, Envelope, EnvelopeSignature, Receipt } from "./types.gen.ts";
import { ENVELOPE_DOCUMENT } from "./documents.ts";
import { verifyReceipt } from "./verify_receipt.ts";

/** Maximum size of an envelope as JSON, in bytes: a statement repeats the outputs of its claim, and base64 adds a third. */
export const MAX_ENVELOPE_BYTES: number = 4 * MAX_RECEIPT_BYTES;

/** A node that signed a claim. */
export interface ClaimSigner {
  /** Ed25519 public key, in lowercase hex. */
  publicKey: string;
  /** The libp2p peer id that follows from the key. */
  peerId: string;
}

/** What an envelope proves: each signer states the claim. */
export interface VerifiedEnvelope {
  /** The claim. */
  claim: Claim;
  /** The nodes that signed it, ordered by key. */
  signers: ClaimSigner[];
}

/** What the verifier of an envelope knows. */
export interface EnvelopeExpectations {
  /**
   * Public keys or peer ids of nodes that must be among the signers.
   * @default {[]}
   */
  signers?: readonly string[];
}

/**
 * Creates the envelope of receipts, which must have one claim. A node that signed several of them has one signature.
 *
 * @throws {PlasmError} `bad-receipt` if a receipt is not valid, or a claim differs from the first: the message and
 * `details.field` name the first difference; `usage` without receipts
 *
 * @example
 * ```ts
 * import { createEnvelope, verifyEnvelope } from "@plasm/plasm/verify";
 * import { assertEquals } from "@std/assert";
 *
 * const { receipt } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const envelope = await createEnvelope([receipt]);
 * const { claim, signers } = await verifyEnvelope(envelope);
 * assertEquals(claim, receipt.claim);
 * assertEquals(signers[0]?.peerId, receipt.run.node.peer_id);
 * ```
 */
export async function createEnvelope(receipts: readonly unknown[]): Promise<Envelope> {
  const verified: Receipt[] = [];
  for (const receipt of receipts) verified.push(await verifyReceipt(receipt));
  const [first] = verified;
  if (first === undefined) throw new PlasmError("usage", "Cannot create envelope: no receipt");
  for (const [at, { claim }] of verified.entries()) {
    const difference = findClaimDifference(first.claim, claim);
    if (difference === undefined) continue;
    const names = { first: "receipt 1", second: `receipt ${at + 1}` };
    throw new PlasmError(
      "bad-receipt",
      `Cannot combine receipts: ${differenceText(difference, names)}`,
      { details: { field: difference.field, receipt: at + 1 } },
    );
  }
  const signatures = new Map<string, EnvelopeSignature>();
  for (const { run, attestation } of verified) {
    const keyid = run.node.public_key;
    if (signatures.has(keyid)) continue;
    signatures.set(keyid, { keyid, sig: toBase64(fromHex(attestation)) });
  }
  return {
    payload: toBase64(statementBytes(first.claim)),
    payloadType: PAYLOAD_TYPE,
    signatures: [...signatures.values()].sort((a, b) => a.keyid < b.keyid ? -1 : 1),
  };
}

/**
 * Parses an envelope and validates its form only; see {@linkcode verifyEnvelope}.
 *
 * @throws {PlasmError} `bad-receipt` if it is not JSON, exceeds {@linkcode MAX_ENVELOPE_BYTES} or violates the schema
 *
 * @example
 * ```ts
 * import { parseEnvelope } from "@plasm/plasm/verify";
 * import { assertThrows } from "@std/assert";
 *
 * assertThrows(() => parseEnvelope("{}"), Error, "payload is missing");
 * ```
 */
export function parseEnvelope(input: string | Uint8Array): Envelope {
  return checkEnvelope(
    parseJson(input, { maxBytes: MAX_ENVELOPE_BYTES, code: "bad-receipt", what: "envelope" }),
  );
}

function checkEnvelope(value: unknown): Envelope {
  validateDocument(ENVELOPE_DOCUMENT, value, {
    code: "bad-receipt",
    what: "envelope",
    verb: "trust",
  });
  return value as Envelope;
}

/**
 * Verifies an envelope: every signature, that no node signed twice, that the payload is the statement of its claim in
 * canonical form, and that the expected nodes are among the signers.
 *
 * @throws {PlasmError} `bad-receipt`; `details.field` names the first field that is wrong
 *
 * @example
 * ```ts
 * import { createEnvelope, verifyEnvelope } from "@plasm/plasm/verify";
 * import { assertRejects } from "@std/assert";
 *
 * const { receipt } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const { signatures, ...rest } = await createEnvelope([receipt]);
 * const forged = { ...rest, payload: btoa("{}"), signatures };
 * await assertRejects(() => verifyEnvelope(forged), Error, "signatures[0].sig");
 * ```
 */
export async function verifyEnvelope(
  envelope: unknown,
  { signers: expected = [] }: EnvelopeExpectations = {},
): Promise<VerifiedEnvelope> {
  // A copy, because the caller may change its object during the checks.
  const { payload, signatures } = structuredClone(checkEnvelope(envelope));
  const statement = decode(payload, "payload");
  const signers: ClaimSigner[] = [];
  for (const [at, { keyid, sig }] of signatures.entries()) {
    const field = `signatures[${at}]`;
    if (signers.some(({ publicKey }) => publicKey === keyid)) {
      throw wrong(`${field}.keyid`, `is ${keyid}, which has signed before`);
    }
    const signed = { bytes: attestedBytes(statement), key: fromHex(keyid) };
    if (!await verifyBytes({ ...signed, signature: decode(sig, `${field}.sig`) })) {
      throw wrong(`${field}.sig`, `is not a signature by ${keyid} over this payload`);
    }
    signers.push({ publicKey: keyid, peerId: peerIdFromPublicKey(keyid) });
  }
  for (const one of expected) {
    if (signers.some(({ publicKey, peerId }) => one === publicKey || one === peerId)) continue;
    throw wrong("signatures", `has none by ${clip(one)}`);
  }
  return { claim: claimOf(statement), signers };
}

/** The claim of a statement, which must be the one that follows from the claim. */
function claimOf(statement: Uint8Array): Claim {
  const value = parseJson(statement, {
    maxBytes: MAX_ENVELOPE_BYTES,
    code: "bad-receipt",
    what: "envelope's payload",
  });
  const predicate = typeof value === "object" && value !== null && "predicate" in value
    ? value.predicate
    : undefined;
  if (predicate === undefined) throw wrong("payload", "is not a statement with a predicate");
  const claim = checkClaim(predicate);
  if (toHex(statementBytes(claim)) !== toHex(statement)) {
    throw wrong("payload", "is not the canonical statement of its claim");
  }
  return claim;
}

function decode(text: string, field: string): Uint8Array {
  try {
    return fromBase64(text);
  } catch (cause) {
    throw new PlasmError(
      "bad-receipt",
      `Cannot trust envelope: ${field} is not base64 with padding in canonical form`,
      { details: { field }, cause },
    );
  }
}

function wrong(field: string, why: string): PlasmError {
  return new PlasmError("bad-receipt", `Cannot trust envelope: ${field} ${why}`, {
    details: { field },
  });
}
