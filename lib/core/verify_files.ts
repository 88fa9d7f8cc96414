/**
 * Verifies a receipt, a bundle or an envelope against files, which are read in chunks.
 *
 * @module
 */
import { abortable, readFile } from "../util/async/mod.ts";
import { concat } from "../util/mod.ts";
import { type Bundle, BUNDLE_START_BYTES, isBundle, verifyBundle } from "./bundle.ts";
import {
  type EnvelopeExpectations,
  MAX_ENVELOPE_BYTES,
  parseEnvelope,
  type VerifiedEnvelope,
  verifyEnvelope,
} from "./envelope.ts";
import { type ErrorCode, PlasmError } from "./errors/mod.ts";
import { Hasher } from "./hash.ts";
import { MAX_MANIFEST_BYTES, parseManifestFile } from "./manifest.ts";
import { MAX_RECEIPT_BYTES, parseReceipt } from "./receipt.ts";
import type { Claim, Measured, Receipt } from "./types.gen.ts";
import { type ClaimExpectations, verifyClaim } from "./verify_claim.ts";
import { type ReceiptExpectations, verifyReceipt } from "./verify_receipt.ts";

/** Files that a claim is compared with; absent ones are not. */
export interface ClaimFiles {
  /** File of the module. @default {undefined} */
  module?: string | undefined;
  /** File of the standard input that was sent. @default {undefined} */
  stdin?: string | undefined;
  /** File of the standard output that was received. @default {undefined} */
  stdout?: string | undefined;
  /** File of the standard error that was received. @default {undefined} */
  stderr?: string | undefined;
  /** File of the manifest; absent fields have their defaults. @default {undefined} */
  manifest?: string | undefined;
  /** Aborts the verification. @default {undefined} */
  signal?: AbortSignal | undefined;
}

/** Options about the file that is verified. */
export interface VerifiedInput {
  /** Content of the file named `-`. @default {undefined, which reads a file of that name} */
  input?: ReadableStream<Uint8Array> | undefined;
}

/** Options of {@linkcode verifyFiles}; absent expectations are not checked. */
export interface VerifyFilesOptions extends ClaimFiles, VerifiedInput {
  /** The node's public key, in hex. @default {undefined} */
  key?: string | undefined;
  /** The node's peer id. @default {undefined} */
  peerId?: string | undefined;
  /** The nonce that was sent. @default {undefined} */
  nonce?: string | undefined;
  /**
   * Whether to return the contents of a bundle.
   * @default {false}
   */
  withContents?: boolean;
}

/** A verified file. */
export interface VerifiedFile {
  /** The receipt. */
  receipt: Receipt;
  /** The bundle that has the receipt; undefined if the file is a receipt only. */
  bundle: Bundle | undefined;
}

/**
 * Verifies the receipt or the bundle in a file.
 *
 * @throws {PlasmError} `bad-receipt` as `verifyReceipt` and `verifyBundle`; `bad-manifest` if the manifest is invalid;
 * `not-found` or `bad-input` if a file cannot be read; `interrupted` if aborted
 */
export async function verifyFiles(
  path: string,
  options: VerifyFilesOptions = {},
): Promise<VerifiedFile> {
  const { input, signal, withContents = false } = options;
  const found = await readReceipt(path, { input, signal, withContents });
  const { receipt } = found;
  const expected: ReceiptExpectations = await readExpectations(options, receipt.claim);
  if (options.key !== undefined) expected.key = options.key;
  if (options.peerId !== undefined) expected.peerId = options.peerId;
  if (options.nonce !== undefined) expected.nonce = options.nonce;
  return { ...found, receipt: await verifyReceipt(receipt, expected) };
}

/** Options of {@linkcode verifyEnvelopeFile}. */
export interface VerifyEnvelopeFileOptions
  extends ClaimFiles, VerifiedInput, EnvelopeExpectations {}

/**
 * Verifies the envelope in a file.
 *
 * @throws {PlasmError} `bad-receipt` as `verifyEnvelope` and `verifyClaim`; otherwise as {@linkcode verifyFiles}
 */
export async function verifyEnvelopeFile(
  path: string,
  options: VerifyEnvelopeFileOptions = {},
): Promise<VerifiedEnvelope> {
  const { signers = [], input, signal } = options;
  const json = await readCapped(path, {
    maxBytes: MAX_ENVELOPE_BYTES,
    code: "bad-receipt",
    input,
    signal,
  });
  if (isModule(json)) throw otherKind("envelope", { path, kind: "a WebAssembly module" });
  if (isBundle(json)) throw otherKind("envelope", { path, kind: "a bundle" });
  const envelope = parseOrRefuse("envelope", { path, json, parse: parseEnvelope });
  const verified = await verifyEnvelope(envelope, { signers });
  await verifyClaim(verified.claim, await readExpectations(options, verified.claim));
  return verified;
}

async function readExpectations(files: ClaimFiles, claim: Claim): Promise<ClaimExpectations> {
  const { module, stdin, stdout, stderr, manifest, signal } = files;
  const expected: ClaimExpectations = {};
  if (module !== undefined) expected.module = (await measure(module, signal)).hash;
  if (stdin !== undefined) expected.stdin = (await measure(stdin, signal)).hash;
  if (stdout !== undefined) expected.stdout = await measure(stdout, signal);
  if (stderr !== undefined) expected.stderr = await measure(stderr, signal);
  if (manifest !== undefined) {
    const text = await readCapped(manifest, {
      maxBytes: MAX_MANIFEST_BYTES,
      code: "bad-manifest",
      signal,
    });
    // The verifier rejects the manifest of another module.
    expected.manifest = parseManifestFile(text, {
      moduleHash: claim.module_hash,
      allowOther: true,
    });
  }
  return expected;
}

/** Reads a receipt, or verifies a bundle. */
async function readReceipt(
  path: string,
  { input, signal, withContents }: ReadPartsOptions & { withContents: boolean },
): Promise<VerifiedFile> {
  const chunks = fileChunks(path, { input, signal });
  try {
    const start = await readStart(chunks, BUNDLE_START_BYTES);
    if (isBundle(start)) {
      const bundle = await verifyBundle(prepend(start, chunks), {}, { withContents, signal });
      return { receipt: bundle.receipt, bundle };
    }
    if (isModule(start)) throw otherKind("receipt", { path, kind: "a WebAssembly module" });
    const rest = await readStart(chunks, MAX_RECEIPT_BYTES + 1 - start.length);
    const json = concat([start, rest]);
    if (json.length > MAX_RECEIPT_BYTES) throw tooLarge(path, "bad-receipt", MAX_RECEIPT_BYTES);
    const receipt = parseOrRefuse("receipt", { path, json, parse: parseReceipt });
    return { receipt, bundle: undefined };
  } finally {
    await chunks.return();
  }
}

/** Reads until at least `atLeast` bytes are there, or to the end. */
async function readStart(
  chunks: AsyncGenerator<Uint8Array, void, void>,
  atLeast: number,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (let length = 0; length < atLeast;) {
    const { done, value } = await chunks.next();
    if (done) break;
    parts.push(value);
    length += value.length;
  }
  return concat(parts);
}

async function* prepend(
  start: Uint8Array,
  chunks: AsyncGenerator<Uint8Array, void, void>,
): AsyncGenerator<Uint8Array, void, void> {
  yield start;
  yield* chunks;
}

/** Yields the content of a file, which may be a named pipe. */
async function* fileChunks(
  path: string,
  { input, signal }: ReadPartsOptions,
): AsyncGenerator<Uint8Array, void, void> {
  const stopped = new AbortController();
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const either = signal === undefined ? stopped.signal : AbortSignal.any([signal, stopped.signal]);
  const reading = readParts(path, { input, signal: either }, (chunk) => writer.write(chunk.slice()))
    .then(() => writer.close(), (error) => writer.abort(error));
  // The reader receives the error.
  reading.catch(() => {});
  try {
    yield* readable;
  } finally {
    stopped.abort();
    await reading.catch(() => {});
  }
}

async function measure(path: string, signal: AbortSignal | undefined): Promise<Measured> {
  const hasher = new Hasher();
  await readParts(path, { signal }, (chunk) => hasher.update(chunk));
  return { hash: await hasher.digest(), bytes: hasher.bytes };
}

/** Kinds of files that are neither receipt nor envelope, and the command that reads each. */
const OTHER_KINDS = {
  "a WebAssembly module": "Name the receipt first: plasm verify RECEIPT --module FILE",
  "a manifest": "Name the receipt first: plasm verify RECEIPT --manifest FILE",
  "a bundle": "Run plasm receipt export BUNDLE > ENVELOPE first",
  "a receipt": "Run plasm receipt export RECEIPT > ENVELOPE first",
  "an envelope": "Run plasm receipt import ENVELOPE",
} as const;

/** Error of a file of another kind. */
function otherKind(
  what: "receipt" | "envelope",
  { path, kind, cause }: { path: string; kind: keyof typeof OTHER_KINDS; cause?: unknown },
): PlasmError {
  return new PlasmError("bad-receipt", `Cannot read ${what}: ${path} is ${kind}`, {
    hint: OTHER_KINDS[kind],
    cause,
  });
}

function isModule(start: Uint8Array): boolean {
  return start[0] === 0 && new TextDecoder().decode(start.subarray(1, 4)) === "asm";
}

/** Recognizes a document of plasm by its fields. */
function documentKind(json: Uint8Array): keyof typeof OTHER_KINDS | undefined {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder().decode(json));
  } catch {
    return undefined;
  }
  const has = (name: string): boolean => Object.hasOwn(Object(value), name);
  if (has("payloadType")) return "an envelope";
  if (has("signature")) return "a receipt";
  return has("resources") || has("args") ? "a manifest" : undefined;
}

/** Parses a document; the error names the file, and the command that reads a file of its kind. */
function parseOrRefuse<T>(
  what: "receipt" | "envelope",
  { path, json, parse }: { path: string; json: Uint8Array; parse: (json: Uint8Array) => T },
): T {
  try {
    return parse(json);
  } catch (cause) {
    const kind = documentKind(json);
    if (kind !== undefined && !kind.endsWith(what)) throw otherKind(what, { path, kind, cause });
    if (!(cause instanceof PlasmError) || kind !== undefined) throw cause;
    throw new PlasmError(cause.code, `${cause.message}: ${path}`, {
      hint: `Name ${what === "receipt" ? "a receipt or a bundle" : "an envelope"} of plasm`,
      details: cause.details,
      cause,
    });
  }
}

interface ReadPartsOptions {
  input?: ReadableStream<Uint8Array> | undefined;
  signal: AbortSignal | undefined;
}

interface ReadCappedOptions extends ReadPartsOptions {
  maxBytes: number;
  code: ErrorCode;
}

async function readCapped(path: string, options: ReadCappedOptions): Promise<Uint8Array> {
  const { maxBytes, code } = options;
  const bytes = new Uint8Array(maxBytes);
  let length = 0;
  await readParts(path, options, (chunk) => {
    if (length + chunk.length > maxBytes) {
      throw tooLarge(path, code, maxBytes);
    }
    bytes.set(chunk, length);
    length += chunk.length;
  });
  return bytes.subarray(0, length);
}

function tooLarge(path: string, code: ErrorCode, maxBytes: number): PlasmError {
  return new PlasmError(code, `Cannot read ${path}: at most ${maxBytes} bytes are allowed`);
}

/** Reads a file in parts; the signal ends the wait for a pipe too. */
async function readParts(
  path: string,
  { input, signal }: ReadPartsOptions,
  onChunk: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  try {
    if (path === "-" && input !== undefined) await readStream(input, { signal, onChunk });
    else await readFile(path, { signal, onChunk });
  } catch (error) {
    if (error instanceof PlasmError) throw error;
    if (signal?.aborted) {
      throw new PlasmError("interrupted", "Stopped before the end: it was interrupted");
    }
    const code = error instanceof Deno.errors.NotFound ? "not-found" : "bad-input";
    const why = code === "not-found"
      ? "file not found"
      : error instanceof Deno.errors.IsADirectory
      ? "it is a directory"
      : (error as Error).message;
    throw new PlasmError(code, `Cannot read ${path}: ${why}`, { cause: error });
  }
}

async function readStream(
  input: ReadableStream<Uint8Array>,
  { signal, onChunk }: {
    signal: AbortSignal | undefined;
    onChunk: (chunk: Uint8Array) => void | Promise<void>;
  },
): Promise<void> {
  const reader = input.getReader();
  for (;;) {
    const { done, value } = await abortable(reader.read(), { signal });
    if (done) return;
    await onChunk(value);
  }
}
