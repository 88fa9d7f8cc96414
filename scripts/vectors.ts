/**
 * Generates the published test vectors in tests/vectors, against which implementations in any language can check
 * receipts and canonical JSON. They are computed from fixed keys and bytes; a test fails when a file is stale.
 *
 * Run: `deno task vectors`
 *
 * @module
 */
import { canonicalVectors } from "./canonical_vectors.ts";
import { bundleVectors, envelopeVectors } from "./envelope_vectors.ts";
import { messageVectors } from "./message_vectors.ts";
import { receiptVectors } from "./receipt_vectors.ts";

/** Returns every vector file: path relative to the repository → text. */
export async function vectorFiles(): Promise<Record<string, string>> {
  const text = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
  const receipts = await receiptVectors();
  return {
    "tests/vectors/receipt.json": text(receipts),
    "tests/vectors/envelope.json": text(await envelopeVectors(receipts.receipt)),
    "tests/vectors/bundle.json": text(await bundleVectors(receipts.receipt)),
    "tests/vectors/canonical.json": text(canonicalVectors()),
    "tests/vectors/messages.json": text(await messageVectors(receipts.receipt)),
  };
}

if (import.meta.main) {
  for (const [file, text] of Object.entries(await vectorFiles())) {
    await Deno.writeTextFile(new URL(`../${file}`, import.meta.url), text);
  }
}
