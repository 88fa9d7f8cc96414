/**
 * Documents and identity: manifests, receipts, signatures, ids, the node's key and paths.
 *
 * Loaded at start by every command, so it re-exports nothing that is slow to load.
 *
 * @module
 */
export { EMPTY_HASH, Hasher, isHash, loadNativeHash, sha256 } from "./hash.ts";
export {
  ephemeralIdentity,
  type Identity,
  IDENTITY_FILE,
  loadIdentity,
  loadOrCreateIdentity,
} from "./identity.ts";
export { createJobId, createNonce, isJobId, peerIdFromPublicKey } from "./ids.ts";
export { type JobEvent, type JobOutcome } from "./job_event.ts";
export { canonicalBytes } from "./json.ts";
export {
  checkManifest,
  createManifest,
  DEFAULT_RESOURCES,
  manifestHash,
  type ManifestOptions,
  MAX_MANIFEST_BYTES,
  parseManifest,
  parseManifestFile,
} from "./manifest.ts";
export { configPaths, listenPath, socketPaths, stateDir } from "./paths.ts";
export { MAX_RECEIPT_BYTES, receiptTimes, signReceipt } from "./receipt.ts";
export { type DocumentSchema, validateDocument } from "./schema.ts";
export { isValidSignature, type Signer } from "./signature.ts";
export { readPrivateFile, readStateFile, writePrivateFile, writeStateFile } from "./state_file.ts";
export {
  type Hash,
  type JobStatus,
  type Manifest,
  type Priority,
  type Receipt,
  type ReceiptNode,
  type Resources,
  type Runtime,
  type Usage,
} from "./types.gen.ts";
export {
  type Measured,
  type ReceiptExpectations,
  type ReceiptWindow,
  verifyReceipt,
} from "./verify_receipt.ts";
export { verifyReceiptFiles } from "./verify_files.ts";
export { RUNTIME_NAME, VERSION } from "./version.ts";
