/**
 * Entry point `./verify`: verifies receipts, envelopes and bundles without any Deno API, also in Node and browsers.
 *
 * @example Verify a receipt against what was sent and received
 * ```ts
 * import { verifyReceipt } from "@plasm/plasm/verify";
 * import { assertEquals } from "@std/assert";
 *
 * const vector = JSON.parse(await Deno.readTextFile("tests/vectors/receipt.json"));
 * const receipt = await verifyReceipt(vector.receipt, {
 *   key: vector.public_key,
 *   stdout: Uint8Array.fromHex(vector.expected.stdout),
 * });
 * assertEquals(receipt.claim.status, "exited");
 * ```
 *
 * @module
 */
export {
  type ErrorCode,
  type JsonValue,
  PlasmError,
  type PlasmErrorJson,
  type PlasmErrorOptions,
} from "./errors/mod.ts";
export {
  type Bundle,
  type BundleContent,
  verifyBundle,
  type VerifyBundleOptions,
  writeBundle,
} from "./bundle.ts";
export { type ClaimDifference } from "./claim_difference.ts";
export {
  type ClaimSigner,
  createEnvelope,
  type EnvelopeExpectations,
  parseEnvelope,
  type VerifiedEnvelope,
  verifyEnvelope,
} from "./envelope.ts";
export { sha256 } from "./hash.ts";
export { type JobInputs } from "./job_description.ts";
export {
  compareRuns,
  type RerunOutcome,
  type RerunResult,
  type RerunVerdict,
} from "./rerun_verdict.ts";
export { manifestHash, parseManifest } from "./manifest.ts";
export { OutputFilesReader } from "./output_files.ts";
export { parseReceipt } from "./receipt.ts";
export {
  type Claim,
  type Envelope,
  type EnvelopeSignature,
  type Hash,
  type JobStatus,
  type Manifest,
  type Measured,
  type NondeterminismSource,
  type Priority,
  type Profile,
  type Receipt,
  type ReceiptNode,
  type Resources,
  type Run,
  type Runtime,
  type Usage,
} from "./types.gen.ts";
export { type ClaimExpectations, verifyClaim } from "./verify_claim.ts";
export { type ReceiptExpectations, type ReceiptWindow, verifyReceipt } from "./verify_receipt.ts";
