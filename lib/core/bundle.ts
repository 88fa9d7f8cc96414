/**
 * Reads and writes bundles: a receipt and everything that is needed to run its job again, in one tar archive.
 *
 * The archive has `receipt.json`, `manifest.json` (its canonical JSON) and `blobs/sha256-HEX` for each content, in
 * ascending order: the module, standard input, inputs, and, as far as they were kept, the outputs.
 *
 * @module
 */
import {
  encodeTarHeader,
  memberPadding,
  tarEnd,
  type TarMember,
  TarReader,
  toHex,
} from "../util/mod.ts";
import { abortError, PlasmError } from "./errors/mod.ts";
import { EMPTY_HASH, Hasher, sha256 } from "./hash.ts";
import { canonicalBytes, clip } from "./json.ts";
import type { JobInputs } from "./job_description.ts";
import { MAX_MANIFEST_BYTES, parseManifest } from "./manifest.ts";
import { MAX_RECEIPT_BYTES, parseReceipt } from "./receipt.ts";
import type { Claim, Hash, Manifest, Receipt } from "./types.gen.ts";
import { type ReceiptExpectations, verifyReceipt } from "./verify_receipt.ts";

/** Maximum content that is returned, in bytes: more than the largest module, inputs and kept outputs of a local job. */
const MAX_CONTENT_BYTES = 2 ** 30;

const RECEIPT_NAME = "receipt.json";
const MANIFEST_NAME = "manifest.json";

/** A job and its result, for {@linkcode writeBundle}. */
export interface BundleContent {
  /** The receipt. */
  receipt: Receipt;
  /** The manifest that the receipt names. */
  manifest: Manifest;
  /** The module. */
  module: Uint8Array;
  /** Standard input. @default {empty} */
  stdin?: Uint8Array | undefined;
  /** Files of the job by guest path. @default {none} */
  inputs?: JobInputs | undefined;
  /** Standard output. @default {left out: the receipt has its hash} */
  stdout?: Uint8Array | undefined;
  /** Standard error. @default {left out: the receipt has its hash} */
  stderr?: Uint8Array | undefined;
  /** Output files by guest path. @default {left out: the receipt has their hashes} */
  outputs?: ReadonlyMap<string, Uint8Array> | undefined;
}

/**
 * Writes a bundle, as chunks of an archive. The same content gives the same bytes.
 *
 * @throws {PlasmError} `bad-receipt` if the receipt is not valid or is not one of this job; `bad-input` if an input
 * differs from the manifest
 *
 * @example
 * ```ts
 * import { ephemeralIdentity, runJob } from "@plasm/plasm";
 * import { verifyBundle, writeBundle } from "@plasm/plasm/verify";
 * import { assertEquals } from "@std/assert";
 *
 * const module = await Deno.readFile("examples/hello/hello.wasm");
 * const stdin = new TextEncoder().encode("Hello, World");
 * const signer = await ephemeralIdentity();
 * const { receipt, manifest, stdout } = await runJob(module, { stdin, signer });
 * const chunks = writeBundle({ receipt: receipt!, manifest, module, stdin, stdout });
 * const bundle = await verifyBundle(chunks, { key: signer.publicKey });
 * assertEquals(bundle.manifest, manifest);
 * ```
 */
export async function* writeBundle(
  content: BundleContent,
): AsyncGenerator<Uint8Array, void, void> {
  const { receipt, manifest, module, stdin = new Uint8Array(), inputs = {} } = content;
  const { stdout, stderr, outputs = new Map<string, Uint8Array>() } = content;
  const expected: ReceiptExpectations = { manifest, module, stdin };
  if (stdout !== undefined) expected.stdout = stdout;
  if (stderr !== undefined) expected.stderr = stderr;
  if (content.outputs !== undefined) expected.outputs = Object.fromEntries(outputs);
  await verifyReceipt(receipt, expected);
  const blobs = new Map<Hash, Uint8Array>();
  const files = [...Object.values(inputs), ...outputs.values()];
  for (const one of [module, stdin, stdout, stderr, ...files]) {
    if (one !== undefined && one.length > 0) blobs.set(await sha256(one), one);
  }
  for (const hash of requiredContents(receipt.claim, manifest)) {
    if (!blobs.has(hash)) {
      throw new PlasmError("bad-input", `Cannot write bundle: no content given has ${hash}`);
    }
  }
  const json = [[RECEIPT_NAME, receipt], [MANIFEST_NAME, manifest]] as const;
  for (const [name, document] of json) yield* file(name, canonicalBytes(document));
  for (const hash of [...blobs.keys()].sort()) yield* file(blobName(hash), blobs.get(hash)!);
  yield tarEnd();
}

function* file(path: string, data: Uint8Array): Generator<Uint8Array, void, void> {
  yield encodeTarHeader({ path, bytes: data.length });
  yield data;
  yield memberPadding(data.length);
}

function blobName(hash: Hash): string {
  return `blobs/${hash.replace(":", "-")}`;
}

/** Hashes of the content without which a job cannot run again. */
function requiredContents(claim: Claim, manifest: Manifest): Set<Hash> {
  const hashes = new Set([
    claim.module_hash,
    claim.stdin_hash,
    ...Object.values(manifest.inputs ?? {}),
  ]);
  hashes.delete(EMPTY_HASH);
  return hashes;
}

/** Options of {@linkcode verifyBundle}. */
export interface VerifyBundleOptions {
  /**
   * Whether to return the contents, at most 1 GiB.
   * @default {false: they are hashed, and memory does not grow with them}
   */
  withContents?: boolean;
  /** Aborts the verification. @default {never} */
  signal?: AbortSignal | undefined;
}

/** A verified bundle. */
export interface Bundle {
  /** The receipt, verified. */
  receipt: Receipt;
  /** The manifest that the receipt names. */
  manifest: Manifest;
  /** The contents by hash; empty unless they were asked for. */
  contents: ReadonlyMap<Hash, Uint8Array>;
}

/**
 * Verifies a bundle: its receipt as `verifyReceipt` does, the manifest, and the hash of each content. Refuses any
 * entry that the receipt and the manifest do not name, that is missing, occurs twice or stands in another order.
 *
 * @throws {PlasmError} `bad-receipt`; `too-large`; `interrupted`
 *
 * @example
 * ```ts
 * import { verifyBundle } from "@plasm/plasm/verify";
 * import { assertRejects } from "@std/assert";
 *
 * await assertRejects(() => verifyBundle(new Uint8Array(1024)), Error, "receipt.json is missing");
 * ```
 */
export async function verifyBundle(
  source: Uint8Array | AsyncIterable<Uint8Array>,
  expected: ReceiptExpectations = {},
  options: VerifyBundleOptions = {},
): Promise<Bundle> {
  const reader = new BundleReader(expected, options);
  for await (const chunk of source instanceof Uint8Array ? chunksOf(source) : source) {
    if (options.signal?.aborted) throw abortError(options.signal);
    await reader.read(chunk);
  }
  return reader.end();
}

/** Size of the parts in which bytes in memory are hashed. */
const PART_BYTES = 4 * 2 ** 20;

function* chunksOf(bytes: Uint8Array): Generator<Uint8Array, void, void> {
  for (let at = 0; at < bytes.length; at += PART_BYTES) yield bytes.subarray(at, at + PART_BYTES);
}

/** Content of one entry: its bytes if they are asked for, its hash if it is known by one. */
interface OpenEntry {
  path: string;
  /** The hash that the content must have; undefined for a document. */
  hash: Hash | undefined;
  hasher: Hasher;
  data: Uint8Array | undefined;
}

/** Verifies a bundle in chunks. */
class BundleReader {
  readonly #expected: ReceiptExpectations;
  readonly #withContents: boolean;
  readonly #tar = new TarReader();
  readonly #contents = new Map<Hash, Uint8Array>();
  #receipt: Receipt | undefined;
  #manifest: Manifest | undefined;
  /** Contents that the documents name, by path. */
  #named = new Map<string, Hash>();
  /** Contents that have not been read yet and must be. */
  #missing = new Set<Hash>();
  #entry: OpenEntry | undefined;
  #previous = "";
  /** What contents in memory may add. */
  #left = MAX_CONTENT_BYTES;

  constructor(expected: ReceiptExpectations, { withContents = false }: VerifyBundleOptions) {
    this.#expected = expected;
    this.#withContents = withContents;
  }

  /** Reads the next part of the archive. */
  async read(chunk: Uint8Array): Promise<void> {
    const parts = this.#tar.read(chunk);
    for (;;) {
      const { done, value } = orInvalid(() => parts.next());
      if (done) return;
      const { entry, offset, data } = value;
      if (offset === 0) this.#entry = this.#begin(entry);
      const open = this.#entry!;
      open.data?.set(data, offset);
      if (open.hash !== undefined) await open.hasher.update(data);
      if (offset + data.length === entry.bytes) await this.#finish(open);
    }
  }

  /** Ends the archive. */
  end(): Bundle {
    if (this.#receipt === undefined) throw invalid(`${RECEIPT_NAME} is missing`);
    if (this.#manifest === undefined) throw invalid(`${MANIFEST_NAME} is missing`);
    if (!this.#tar.isComplete) throw invalid("it ends early");
    const [missing] = this.#missing;
    if (missing !== undefined) throw invalid(`${blobName(missing)} is missing`);
    return { receipt: this.#receipt, manifest: this.#manifest, contents: this.#contents };
  }

  #begin({ path, bytes }: TarMember): OpenEntry {
    if (this.#receipt === undefined) return beginDocument(RECEIPT_NAME, { path, bytes });
    if (this.#manifest === undefined) return beginDocument(MANIFEST_NAME, { path, bytes });
    const hash = this.#named.get(path);
    if (hash === undefined) throw invalid(`neither receipt nor manifest names ${clip(path)}`);
    if (path <= this.#previous) throw invalid(`${path} follows ${this.#previous}`);
    this.#previous = path;
    const hasher = new Hasher();
    if (!this.#withContents) return { path, hash, hasher, data: undefined };
    if (bytes > this.#left) {
      throw new PlasmError(
        "too-large",
        `Cannot read bundle: its contents have more than ${MAX_CONTENT_BYTES} bytes`,
      );
    }
    this.#left -= bytes;
    return { path, hash, hasher, data: new Uint8Array(bytes) };
  }

  async #finish({ path, hash, hasher, data }: OpenEntry): Promise<void> {
    if (hash !== undefined) {
      const found = await hasher.digest();
      if (found !== hash) throw invalid(`the content of ${path} hashes to ${found}`);
      if (data !== undefined) this.#contents.set(hash, data);
      this.#missing.delete(hash);
    } else if (path === RECEIPT_NAME) {
      this.#receipt = parseCanonical(path, { json: data!, parse: parseReceipt });
    } else {
      const manifest = parseCanonical(path, { json: data!, parse: parseManifest });
      this.#receipt = await verifyReceipt(this.#receipt, { manifest, ...this.#expected });
      this.#manifest = manifest;
      const { claim } = this.#receipt;
      this.#missing = requiredContents(claim, manifest);
      const outputs = [claim.stdout, claim.stderr, ...Object.values(claim.outputs)];
      for (const named of [...this.#missing, ...outputs.map(({ hash }) => hash)]) {
        if (named !== EMPTY_HASH) this.#named.set(blobName(named), named);
      }
    }
  }
}

/** Maximum size of each document. */
const MAX_DOCUMENT_BYTES = {
  [RECEIPT_NAME]: MAX_RECEIPT_BYTES,
  [MANIFEST_NAME]: MAX_MANIFEST_BYTES,
};

function beginDocument(name: keyof typeof MAX_DOCUMENT_BYTES, entry: TarMember): OpenEntry {
  const { path, bytes } = entry;
  if (path !== name) throw invalid(`expected ${name}, found ${clip(path)}`);
  const maxBytes = MAX_DOCUMENT_BYTES[name];
  if (bytes > maxBytes) throw invalid(`${name} has ${bytes} bytes, ${maxBytes} are allowed`);
  return { path, hash: undefined, hasher: new Hasher(), data: new Uint8Array(bytes) };
}

interface ParseCanonicalOptions<T> {
  json: Uint8Array;
  parse: (json: Uint8Array) => T;
}

function parseCanonical<T>(name: string, { json, parse }: ParseCanonicalOptions<T>): T {
  const document = parse(json);
  if (toHex(canonicalBytes(document)) !== toHex(json)) {
    throw invalid(`${name} is not canonical JSON`);
  }
  return document;
}

/** Offset and text of the magic of a ustar header. */
const MAGIC_AT = 257;
const MAGIC = "ustar";

/** Bytes from which {@linkcode isBundle} recognizes a bundle. */
export const BUNDLE_START_BYTES: number = MAGIC_AT + MAGIC.length;

/** Reports whether a file that begins with these bytes is a bundle, instead of a receipt. */
export function isBundle(start: Uint8Array): boolean {
  return new TextDecoder().decode(start.subarray(MAGIC_AT, BUNDLE_START_BYTES)) === MAGIC;
}

/** Calls a function of the tar reader, which throws plain errors. */
function orInvalid<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
}

function invalid(why: string): PlasmError {
  return new PlasmError("bad-receipt", `Cannot read bundle: ${why}`);
}
