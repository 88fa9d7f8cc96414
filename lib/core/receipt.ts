/**
 * The receipt: what a node says it ran and with which result, signed.
 * @module
 */
import schema from "../../schemas/receipt.json" with { type: "json" };
import { canonicalBytes } from "./canonical.ts";
import { toHex } from "../util/mod.ts";
import { parseJson } from "./json.ts";
import { findTimeProblem } from "./receipt_times.ts";
import { validateDocument } from "./schema.ts";
import { isValidSignature, type Signer } from "./signature.ts";
import type { Receipt } from "./types.gen.ts";
import { PlasmError } from "./errors/errors.ts";

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
  validateDocument(schema, receipt, { code: "internal", what: "receipt", verb: "sign" });
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
  validateDocument(schema, value, { code: "bad-receipt", what: "receipt", verb: "trust" });
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
