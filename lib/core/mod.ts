/**
 * Public entry point of the core component.
 * @module
 */
export { canonicalBytes } from "./canonical.ts";
export {
  decodeMessage,
  encodeFrame,
  encodeFrameInto,
  encodeMessage,
  frameStream,
  MAX_LENGTH_BYTES,
} from "./cbor_frame.ts";
export { DEFAULT_RESOURCES } from "./default_resources.ts";
export { EMPTY_HASH, Hasher, isHash, loadNativeHash, sha256 } from "./hash.ts";
export {
  ephemeralIdentity,
  type Identity,
  IDENTITY_FILE,
  loadIdentity,
  loadOrCreateIdentity,
} from "./identity.ts";
export { type JobEvent, type JobOutcome } from "./job_event.ts";
export { createJobId, createNonce, isJobId } from "./ids.ts";
export { configureLogging, getLog } from "./log.ts";
export {
  checkManifest,
  createManifest,
  manifestHash,
  type ManifestOptions,
  MAX_MANIFEST_BYTES,
  parseManifest,
  parseManifestFile,
} from "./manifest.ts";
export { configPaths, listenPath, socketPaths, stateDir } from "./paths.ts";
export { peerIdFromPublicKey } from "./peer_id.ts";
export { readPrivateFile, writePrivateFile } from "./private_file.ts";
export { MAX_RECEIPT_BYTES, signReceipt } from "./receipt.ts";
export { receiptTimes } from "./receipt_times.ts";
export { validateDocument } from "./schema.ts";
export { isValidSignature, type Signer } from "./signature.ts";
export { readStateFile, writeStateFile } from "./state_file.ts";
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
export { verifyReceiptFiles } from "./verify_files.ts";
export {
  type Measured,
  type ReceiptExpectations,
  type ReceiptWindow,
  verifyReceipt,
} from "./verify_receipt.ts";
export { RUNTIME_NAME, VERSION } from "./version.ts";
