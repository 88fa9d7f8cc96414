/**
 * Documents and identity: manifests, receipts, signatures, ids, the node's key and paths.
 *
 * Loaded at start by every command, so it re-exports nothing that is slow to load.
 *
 * @module
 */
export {
  DeclaredPaths,
  FilesInMemory,
  findInArchive,
  MAX_ARCHIVE_HEADERS_BYTES,
  MAX_OUTPUT_FILES,
  missingOutputs,
  type OutputFiles,
  OutputFilesReader,
} from "./output_files.ts";
export { ARCHITECTURES, parseArch } from "./arch.ts";
export { EMPTY_HASH, Hasher, isHash, loadNativeHash, sha256 } from "./hash.ts";
export {
  ephemeralIdentity,
  type Identity,
  IDENTITY_FILE,
  loadIdentity,
  loadOrCreateIdentity,
} from "./identity.ts";
export { createJobId, createNonce, isJobId, parsePeer, peerIdFromPublicKey } from "./ids.ts";
export { type JobEvent, type JobOutcome, MAX_STACK_FRAMES, type StackFrame } from "./job_event.ts";
export {
  type DescribedHashes,
  type JobDescription,
  type JobInputs,
  manifestOf,
} from "./job_description.ts";
export {
  attestedBytes,
  PAYLOAD_TYPE,
  PREDICATE_TYPE,
  type Statement,
  STATEMENT_TYPE,
  statementBytes,
  statementOf,
} from "./attestation.ts";
export { checkClaim, claimHash } from "./claim.ts";
export { type Bundle, type BundleContent, verifyBundle, writeBundle } from "./bundle.ts";
export { type ClaimDifference, differenceText, findClaimDifference } from "./claim_difference.ts";
export { createEnvelope, verifyEnvelope } from "./envelope.ts";
export { canonicalBytes, parseJson } from "./json.ts";
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
export {
  backgroundDir,
  backgroundSocket,
  configPaths,
  type Env,
  listenPath,
  socketPaths,
  stateDir,
  xdgDir,
} from "./paths/mod.ts";
export {
  MAX_RECEIPT_BYTES,
  parseReceipt,
  type ReceiptFields,
  receiptTimes,
  signReceipt,
} from "./receipt.ts";
export {
  compareRuns,
  dependsOnNode,
  isUnfinished,
  type RerunOutcome,
  type RerunResult,
  type RerunVerdict,
} from "./rerun_verdict.ts";
export { type DocumentSchema, documentSchema, validateDocument } from "./schema.ts";
export { isValidSignature, type Signer } from "./signature.ts";
export {
  readPrivateFile,
  readStateFile,
  syncFile,
  writePrivateFile,
  writeStateFile,
} from "./state_file.ts";
export {
  type Claim,
  type Envelope,
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
export { type ReceiptExpectations, type ReceiptWindow, verifyReceipt } from "./verify_receipt.ts";
export { verifyEnvelopeFile, verifyFiles } from "./verify_files.ts";
export { type ClaimExpectations, verifyClaim } from "./verify_claim.ts";
export { RUNTIME_NAME, VERSION } from "./version.ts";
