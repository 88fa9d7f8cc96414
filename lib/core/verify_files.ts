/**
 * Verifies a receipt against files, which are read in chunks.
 *
 * @module
 */
import { type ErrorCode, PlasmError } from "./errors/mod.ts";
import { Hasher } from "./hash.ts";
import { MAX_MANIFEST_BYTES, parseManifestFile } from "./manifest.ts";
import { MAX_RECEIPT_BYTES, parseReceipt } from "./receipt.ts";
import type { Receipt } from "./types.gen.ts";
import { type Measured, type ReceiptExpectations, verifyReceipt } from "./verify_receipt.ts";

/** Options of {@linkcode verifyReceiptFiles}; absent ones are not checked. */
export interface VerifyFilesOptions {
  /** The node's public key, in hex. @default {undefined} */
  key?: string | undefined;
  /** The node's peer id. @default {undefined} */
  peerId?: string | undefined;
  /** The nonce that was sent. @default {undefined} */
  nonce?: string | undefined;
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

/**
 * Verifies the receipt in a file.
 *
 * @throws {PlasmError} `bad-receipt` as `verifyReceipt`; `bad-manifest` if the manifest is invalid;
 * `not-found` or `bad-input` if a file cannot be read; `interrupted` if aborted
 */
export async function verifyReceiptFiles(
  path: string,
  options: VerifyFilesOptions = {},
): Promise<Receipt> {
  const { signal } = options;
  const receipt = parseReceipt(
    await readCapped(path, { maxBytes: MAX_RECEIPT_BYTES, code: "bad-receipt", signal }),
  );
  const expected: ReceiptExpectations = {};
  if (options.key !== undefined) expected.key = options.key;
  if (options.peerId !== undefined) expected.peerId = options.peerId;
  if (options.nonce !== undefined) expected.nonce = options.nonce;
  if (options.module !== undefined) expected.module = (await measure(options.module, signal)).hash;
  if (options.stdin !== undefined) expected.stdin = (await measure(options.stdin, signal)).hash;
  if (options.stdout !== undefined) expected.stdout = await measure(options.stdout, signal);
  if (options.stderr !== undefined) expected.stderr = await measure(options.stderr, signal);
  if (options.manifest !== undefined) {
    const text = await readCapped(options.manifest, {
      maxBytes: MAX_MANIFEST_BYTES,
      code: "bad-manifest",
      signal,
    });
    // verifyReceipt refuses the manifest of another module.
    expected.manifest = parseManifestFile(text, {
      moduleHash: receipt.module_hash,
      allowOther: true,
    });
  }
  return await verifyReceipt(receipt, expected);
}

async function measure(path: string, signal: AbortSignal | undefined): Promise<Measured> {
  const hasher = new Hasher();
  await readFile(path, signal, (chunk) => hasher.update(chunk));
  return { hash: await hasher.digest(), bytes: hasher.bytes };
}

interface ReadCappedOptions {
  maxBytes: number;
  code: ErrorCode;
  signal: AbortSignal | undefined;
}

async function readCapped(path: string, options: ReadCappedOptions): Promise<Uint8Array> {
  const { maxBytes, code, signal } = options;
  const bytes = new Uint8Array(maxBytes);
  let length = 0;
  await readFile(path, signal, (chunk) => {
    if (length + chunk.length > maxBytes) {
      throw new PlasmError(code, `Cannot read ${path}: at most ${maxBytes} bytes are allowed`);
    }
    bytes.set(chunk, length);
    length += chunk.length;
  });
  return bytes.subarray(0, length);
}

async function readFile(
  path: string,
  signal: AbortSignal | undefined,
  take: (chunk: Uint8Array) => void | Promise<void>,
): Promise<void> {
  try {
    signal?.throwIfAborted();
    using file = await Deno.open(path);
    const buffer = new Uint8Array(64 * 1024);
    for (;;) {
      const count = await file.read(buffer);
      signal?.throwIfAborted();
      if (count === null) return;
      await take(buffer.subarray(0, count));
    }
  } catch (error) {
    if (error instanceof PlasmError || signal?.aborted) throw PlasmError.from(error);
    const code = error instanceof Deno.errors.NotFound ? "not-found" : "bad-input";
    const why = code === "not-found" ? "there is no such file" : (error as Error).message;
    throw new PlasmError(code, `Cannot read ${path}: ${why}`, { cause: error });
  }
}
