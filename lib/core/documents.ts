/**
 * Defines the validators of the documents that are hashed or signed.
 *
 * @module
 */
import envelope from "../../schemas/envelope.json" with { type: "json" };
import manifest from "../../schemas/manifest.json" with { type: "json" };
import receipt from "../../schemas/receipt.json" with { type: "json" };
import { type DocumentSchema, documentSchema } from "./schema.ts";

/** Manifests. */
export const MANIFEST_DOCUMENT: DocumentSchema = documentSchema(manifest);

/** Receipts. */
export const RECEIPT_DOCUMENT: DocumentSchema = documentSchema(receipt);

/** Claims, a part of receipts. */
export const CLAIM_DOCUMENT: DocumentSchema = documentSchema(receipt, "#/$defs/claim");

/** DSSE envelopes. */
export const ENVELOPE_DOCUMENT: DocumentSchema = documentSchema(envelope);
