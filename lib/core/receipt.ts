/**
 * Receipts: creating, signing and parsing the signed record of one run.
 *
 * @module
 */
import { toHex } from "../util/mod.ts";
import { PlasmError } from "./errors/errors.ts";
import { canonicalBytes, parseJson } from "./json.ts";
import { validateDocument } from "./schema.ts";
import { isValidSignature, type Signer } from "./signature.ts";
import type { Receipt } from "./types.gen.ts";
import { RECEIPT_DOCUMENT } from "./validators.gen.ts";

/** Largest receipt, as JSON, in bytes: some thirty times a usual one. */
export const MAX_RECEIPT_BYTES: number = 64 * 1024;

/** Keeps a signature under a receipt from being one under anything else. */
const DOMAIN: Uint8Array = new TextEncoder().encode("plasm-receipt-v0.1\n");

/** What a node fills in; version, node and signature come with signing. */
export type ReceiptFields = Omit<Receipt, "version" | "node" | "signature">;

/**
 * Signs a receipt.
 *
 * @throws {PlasmError} `internal` when the receipt would not be accepted by anyone: a field that
 * does not follow the schema, or times that cannot be
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

/** The bytes that a receipt's signature is over. */
export function signedBytes(receipt: Omit<Receipt, "signature"> | Receipt): Uint8Array {
  const { signature: _, ...unsigned } = receipt as Receipt;
  const document = canonicalBytes(unsigned);
  const bytes = new Uint8Array(DOMAIN.length + document.length);
  bytes.set(DOMAIN);
  bytes.set(document, DOMAIN.length);
  return bytes;
}

/**
 * Parses a receipt's JSON. Nothing but its form is known then: see `verifyReceipt`.
 *
 * @throws {PlasmError} `bad-receipt` when it is not JSON, over {@linkcode MAX_RECEIPT_BYTES} or does
 * not follow the schema
 */
export function parseReceipt(input: string | Uint8Array): Receipt {
  return checkReceipt(
    parseJson(input, { maxBytes: MAX_RECEIPT_BYTES, code: "bad-receipt", what: "receipt" }),
  );
}

/**
 * Checks that a value has the form of a receipt, whoever signed it.
 *
 * @throws {PlasmError} `bad-receipt` when it does not follow the schema
 */
export function checkReceipt(value: unknown): Receipt {
  validateDocument(RECEIPT_DOCUMENT, value, {
    code: "bad-receipt",
    what: "receipt",
    verb: "trust",
  });
  return value as Receipt;
}

/** Tells whether the signature is by the key that the receipt itself names. */
export async function hasValidSignature(receipt: Receipt): Promise<boolean> {
  return await isValidSignature({
    bytes: signedBytes(receipt),
    signature: receipt.signature,
    publicKey: receipt.node.public_key,
  });
}

/**
 * How far `wall_time_ms` may be from the difference of the two times, in milliseconds. They come from
 * two clocks, and the wall clock may be set while a job runs.
 */
export const WALL_TIME_TOLERANCE_MS = 1000;

/** What {@linkcode receiptTimes} takes: Unix time and duration in milliseconds. */
export interface ReceiptTimesOptions {
  /** Unix time in milliseconds. */
  startedAt: number;
  /** Duration by a clock that is never set, in milliseconds. */
  wallTimeMs: number;
}

/** The time fields of a receipt; the end is counted from the start, so that they agree. */
export interface ReceiptTimes {
  /** RFC 3339. */
  started_at: string;
  /** RFC 3339. */
  finished_at: string;
  /** Whole milliseconds. */
  wall_time_ms: number;
}

/** Makes the time fields of a receipt from what was measured. */
export function receiptTimes(options: ReceiptTimesOptions): ReceiptTimes {
  const startedAt = Math.round(options.startedAt);
  const wallTimeMs = Math.max(0, Math.round(options.wallTimeMs));
  return {
    started_at: new Date(startedAt).toISOString(),
    finished_at: new Date(startedAt + wallTimeMs).toISOString(),
    wall_time_ms: wallTimeMs,
  };
}

/** A field and what is wrong with it, as text that begins with the field. */
export interface TimeProblem {
  /** The field's path. */
  field: string;
  /** What is wrong. */
  text: string;
}

/** Finds times that cannot be: days that do not exist, an end before the start, a wrong duration. */
export function findTimeProblem(receipt: Receipt): TimeProblem | undefined {
  for (const field of ["started_at", "finished_at"] as const) {
    const time = Date.parse(receipt[field]);
    // V8 reads 30 February as 2 March.
    if (Number.isNaN(time) || new Date(time).toISOString() !== receipt[field]) {
      return { field, text: `${field} is no time: ${receipt[field]}` };
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
      text:
        `usage.wall_time_ms is ${wallTime}, from started_at to finished_at are ${difference} ms`,
    };
  }
  return undefined;
}
