/**
 * Creates, signs and parses receipts, the signed records of one run.
 *
 * @module
 */
import { toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/mod.ts";
import { canonicalBytes, parseJson } from "./json.ts";
import { validateDocument } from "./schema.ts";
import { isValidSignature, type Signer } from "./signature.ts";
import type { Receipt } from "./types.gen.ts";
import { RECEIPT_DOCUMENT } from "./validators.gen.ts";

/** Maximum size of a receipt as JSON, in bytes: about thirty times a typical one. */
export const MAX_RECEIPT_BYTES: number = 64 * 1024;

/** Domain separation: a signature of a receipt is valid for nothing else. */
const DOMAIN: Uint8Array = new TextEncoder().encode("plasm-receipt-v0.1\n");

/** Fields that the caller sets; signing adds version, node and signature. */
export type ReceiptFields = Omit<Receipt, "version" | "node" | "signature">;

/**
 * Signs a receipt.
 *
 * @throws {PlasmError} `internal` if no verifier would accept the receipt: a field violates the schema,
 * or its times are inconsistent
 */
export async function signReceipt(fields: ReceiptFields, signer: Signer): Promise<Receipt> {
  const unsigned: Omit<Receipt, "signature"> = {
    version: "0.1",
    ...fields,
    node: { peer_id: signer.peerId, public_key: signer.publicKey },
  };
  const signature = toHex(await signer.sign(signedBytes(unsigned)));
  const receipt: Receipt = { ...unsigned, signature };
  validateDocument(RECEIPT_DOCUMENT, receipt, { code: "internal", what: "receipt", verb: "sign" });
  const problem = findTimeProblem(receipt);
  if (problem !== undefined) {
    throw new PlasmError("internal", `Cannot sign receipt: ${problem.text}`, {
      details: { field: problem.field },
    });
  }
  return receipt;
}

/** The signed bytes of a receipt. */
export function signedBytes(receipt: Omit<Receipt, "signature"> | Receipt): Uint8Array {
  const { signature: _, ...unsigned } = receipt as Receipt;
  const document = canonicalBytes(unsigned);
  const bytes = new Uint8Array(DOMAIN.length + document.length);
  bytes.set(DOMAIN);
  bytes.set(document, DOMAIN.length);
  return bytes;
}

/**
 * Parses a receipt and validates its form only; see `verifyReceipt`.
 *
 * @throws {PlasmError} `bad-receipt` if it is not JSON, exceeds {@linkcode MAX_RECEIPT_BYTES} or
 * violates the schema
 */
export function parseReceipt(input: string | Uint8Array): Receipt {
  return checkReceipt(
    parseJson(input, { maxBytes: MAX_RECEIPT_BYTES, code: "bad-receipt", what: "receipt" }),
  );
}

/**
 * Validates the form of a receipt, but not its signature.
 *
 * @throws {PlasmError} `bad-receipt` if it violates the schema
 */
export function checkReceipt(value: unknown): Receipt {
  validateDocument(RECEIPT_DOCUMENT, value, {
    code: "bad-receipt",
    what: "receipt",
    verb: "trust",
  });
  return value as Receipt;
}

/** Reports whether the signature matches the key that the receipt names. */
export async function hasValidSignature(receipt: Receipt): Promise<boolean> {
  return await isValidSignature({
    bytes: signedBytes(receipt),
    signature: receipt.signature,
    publicKey: receipt.node.public_key,
  });
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

/** An invalid time field. */
export interface TimeProblem {
  /** The field's path. */
  field: string;
  /** What is wrong, beginning with the field. */
  text: string;
}

/** Finds an inconsistent time: a day that does not exist, an end before the start, a wrong duration. */
export function findTimeProblem(receipt: Receipt): TimeProblem | undefined {
  for (const field of ["started_at", "finished_at"] as const) {
    const time = Date.parse(receipt[field]);
    // V8 parses 30 February as 2 March.
    if (Number.isNaN(time) || new Date(time).toISOString() !== receipt[field]) {
      return { field, text: `${field} is not a valid time: ${receipt[field]}` };
    }
  }
  const difference = Date.parse(receipt.finished_at) - Date.parse(receipt.started_at);
  if (difference < 0) {
    return {
      field: "finished_at",
      text: `finished_at is ${receipt.finished_at}, before started_at ${receipt.started_at}`,
    };
  }
  const wallTime = receipt.usage.wall_time_ms;
  if (Math.abs(wallTime - difference) > WALL_TIME_TOLERANCE_MS) {
    return {
      field: "usage.wall_time_ms",
      text: `usage.wall_time_ms is ${wallTime}, finished_at is ${difference} ms after started_at`,
    };
  }
  return undefined;
}
