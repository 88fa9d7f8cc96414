/**
 * Creates, signs and parses receipts, the signed records of one run.
 *
 * @module
 */
import { concat, toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";
import { attestedBytes, statementBytes } from "./attestation.ts";
import { claimHash, findClaimProblem } from "./claim.ts";
import { canonicalBytes, parseJson } from "./json.ts";
import { validateDocument } from "./schema.ts";
import { isValidSignature, type Signer } from "./signature.ts";
import type { Claim, Receipt, Run } from "./types.gen.ts";
import { RECEIPT_DOCUMENT } from "./documents.ts";

/** Maximum size of a receipt as JSON, in bytes: twice {@linkcode MAX_SIGNED_BYTES}, for indentation. */
export const MAX_RECEIPT_BYTES: number = 8 * 2 ** 20;

/** Maximum size of a receipt to sign as canonical JSON, in bytes: enough for ten thousand outputs. */
const MAX_SIGNED_BYTES: number = 4 * 2 ** 20;

/** Domain separation: a signature of a receipt is valid for nothing else. */
const DOMAIN: Uint8Array = new TextEncoder().encode("plasm-receipt-v0.2\n");

/** Fields that the caller sets; signing adds versions, claim hash, node, signature and attestation. */
export interface ReceiptFields {
  /** What was run and what came out. */
  claim: Omit<Claim, "version">;
  /** What only this node knows. */
  run: Omit<Run, "claim_hash" | "node">;
}

/**
 * Signs a receipt.
 *
 * @throws {PlasmError} `internal` if no verifier would accept the receipt: a field violates the schema,
 * its claim contradicts itself, or its times are inconsistent; `over-limit` if the paths of its outputs make it too long
 */
export async function signReceipt(fields: ReceiptFields, signer: Signer): Promise<Receipt> {
  const claim: Claim = { version: "0.2", ...fields.claim };
  const unsigned: UnsignedReceipt = {
    version: "0.2",
    claim,
    run: {
      ...fields.run,
      claim_hash: await claimHash(claim),
      node: { peer_id: signer.peerId, public_key: signer.publicKey },
    },
  };
  const bytes = signedBytes(unsigned);
  if (bytes.length > MAX_SIGNED_BYTES) {
    throw new PlasmError(
      "over-limit",
      `Cannot sign receipt: it has ${bytes.length} bytes, at most ${MAX_SIGNED_BYTES} are allowed`,
      { hint: "Return fewer files, or files with shorter paths" },
    );
  }
  const [signature, attestation] = await Promise.all([
    signer.sign(bytes),
    signer.sign(attestedBytes(statementBytes(claim))),
  ]);
  const receipt: Receipt = {
    ...unsigned,
    signature: toHex(signature),
    attestation: toHex(attestation),
  };
  validateDocument(RECEIPT_DOCUMENT, receipt, { code: "internal", what: "receipt", verb: "sign" });
  const problem = findContradiction(receipt) ?? findTimeProblem(receipt);
  if (problem !== undefined) {
    throw new PlasmError("internal", `Cannot sign receipt: ${problem.text}`, {
      details: { field: problem.field },
    });
  }
  return receipt;
}

/** A receipt before it is signed. */
export type UnsignedReceipt = Omit<Receipt, "signature" | "attestation">;

/** The bytes of a receipt under its signature. */
export function signedBytes({ version, claim, run }: UnsignedReceipt): Uint8Array {
  return concat([DOMAIN, canonicalBytes({ version, claim, run })]);
}

/** Finds a contradiction within the claim; `field` is its path in the receipt. */
function findContradiction({ claim }: Receipt): ReceiptProblem | undefined {
  const problem = findClaimProblem(claim);
  return problem && { field: `claim.${problem.field}`, text: `claim.${problem.text}` };
}

/**
 * Parses a receipt and validates its form only; see `verifyReceipt`.
 *
 * @throws {PlasmError} `bad-receipt` if it is not JSON, exceeds {@linkcode MAX_RECEIPT_BYTES} or
 * violates the schema
 *
 * @example
 * ```ts
 * import { parseReceipt } from "@plasm/plasm/verify";
 * import { assertEquals, assertThrows } from "@std/assert";
 *
 * const { accepted } = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const text: string = accepted[0].json;
 * assertEquals(parseReceipt(text).version, "0.2");
 * assertThrows(() => parseReceipt("{}"), Error, "version is missing");
 * ```
 */
export function parseReceipt(input: string | Uint8Array): Receipt {
  return checkReceipt(
    parseJson(input, { maxBytes: MAX_RECEIPT_BYTES, code: "bad-receipt", what: "receipt" }),
  );
}

/**
 * Validates the form of a receipt, but not its signatures.
 *
 * @throws {PlasmError} `bad-receipt` if it violates the schema or its claim contradicts itself
 */
export function checkReceipt(value: unknown): Receipt {
  validateDocument(RECEIPT_DOCUMENT, value, {
    code: "bad-receipt",
    what: "receipt",
    verb: "trust",
  });
  const problem = findContradiction(value as Receipt);
  if (problem === undefined) return value as Receipt;
  throw new PlasmError("bad-receipt", `Cannot trust receipt: ${problem.text}`, {
    details: { field: problem.field },
  });
}

/** Finds what does not follow from the claim and the key that the receipt names: signature, claim hash or attestation. */
export async function findSignatureProblem(receipt: Receipt): Promise<ReceiptProblem | undefined> {
  const { claim, run, signature, attestation } = receipt;
  const publicKey = run.node.public_key;
  if (!await isValidSignature({ bytes: signedBytes(receipt), signature, publicKey })) {
    return { field: "signature", text: `signature is not by ${publicKey} over this receipt` };
  }
  const hash = await claimHash(claim);
  if (run.claim_hash !== hash) {
    const text = `run.claim_hash is ${run.claim_hash}, the claim hashes to ${hash}`;
    return { field: "run.claim_hash", text };
  }
  const bytes = attestedBytes(statementBytes(claim));
  if (!await isValidSignature({ bytes, signature: attestation, publicKey })) {
    return { field: "attestation", text: `attestation is not by ${publicKey} over this claim` };
  }
  return undefined;
}

/**
 * Maximum difference between `wall_time_ms` and the time from start to end, in milliseconds. They are read from
 * two clocks, and the wall clock may be adjusted while a job runs.
 */
export const WALL_TIME_TOLERANCE_MS = 1000;

/** Options of {@linkcode receiptTimes}. */
export interface ReceiptTimesOptions {
  /** Unix time in milliseconds. */
  startedAt: number;
  /** Duration by the monotonic clock, in milliseconds. */
  wallTimeMs: number;
}

/** Time fields of a receipt. */
export interface ReceiptTimes {
  /** RFC 3339. */
  started_at: string;
  /** RFC 3339. */
  finished_at: string;
  /** Whole milliseconds. */
  wall_time_ms: number;
}

/** Computes consistent time fields: the end is the start plus the duration. */
export function receiptTimes(options: ReceiptTimesOptions): ReceiptTimes {
  const startedAt = Math.round(options.startedAt);
  const wallTimeMs = Math.max(0, Math.round(options.wallTimeMs));
  return {
    started_at: new Date(startedAt).toISOString(),
    finished_at: new Date(startedAt + wallTimeMs).toISOString(),
    wall_time_ms: wallTimeMs,
  };
}

/** An invalid field. */
export interface ReceiptProblem {
  /** The field's path. */
  field: string;
  /** What is wrong, beginning with the field. */
  text: string;
}

/** Finds an inconsistent time: a day that does not exist, an end before the start, a wrong duration. */
export function findTimeProblem({ run }: Receipt): ReceiptProblem | undefined {
  for (const name of ["started_at", "finished_at"] as const) {
    const time = Date.parse(run[name]);
    // V8 parses 30 February as 2 March.
    if (Number.isNaN(time) || new Date(time).toISOString() !== run[name]) {
      return { field: `run.${name}`, text: `run.${name} is not a valid time: ${run[name]}` };
    }
  }
  const difference = Date.parse(run.finished_at) - Date.parse(run.started_at);
  if (difference < 0) {
    return {
      field: "run.finished_at",
      text: `run.finished_at is ${run.finished_at}, before started_at ${run.started_at}`,
    };
  }
  const wallTime = run.usage.wall_time_ms;
  if (Math.abs(wallTime - difference) > WALL_TIME_TOLERANCE_MS) {
    const field = "run.usage.wall_time_ms";
    return {
      field,
      text: `${field} is ${wallTime}, finished_at is ${difference} ms after started_at`,
    };
  }
  return undefined;
}
