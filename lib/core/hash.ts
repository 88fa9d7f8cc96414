/**
 * Computes the SHA-256 of bytes and streams, in the form `sha256:<hex>` of all documents.
 *
 * @module
 */
import type { Hash as NodeHash } from "node:crypto";
import { concat, toHex } from "../util/mod.ts";
import type { Hash } from "./types.gen.ts";

/** Hash of zero bytes: of absent standard input and of an input directory. */
export const EMPTY_HASH: Hash =
  "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/**
 * Maximum size to buffer and hash with WebCrypto, in bytes. Larger streams are hashed incrementally by node:crypto,
 * whose import takes about 40 ms, too much for a small job.
 */
const BUFFERED_BYTES = 256 * 1024;

/** node:crypto, once loaded. */
let native: typeof import("node:crypto") | undefined;

/** Size up to which synchronous hashing, at 1.5 GB/s, is faster than another thread, in bytes. */
const IMMEDIATE_BYTES = 64 * 1024;

/** Size up to which content is hashed with WebCrypto, which copies it, in bytes. */
const COPIED_BYTES = 32 * 2 ** 20;

/** Size of the parts in which larger content is hashed, in bytes: 3 ms each. */
const PART_BYTES = 4 * 2 ** 20;

/**
 * Loads node:crypto, which then hashes small content and signs: 2 µs for a hash, against 70 µs with WebCrypto, which
 * uses another thread. For long-lived processes.
 */
export async function loadNativeHash(): Promise<void> {
  native ??= await import("node:crypto");
}

/** Reports whether a value is "sha256:" and 64 lowercase hex digits. */
export function isHash(value: unknown): value is Hash {
  return typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
}

/** node:crypto, if {@linkcode loadNativeHash} has loaded it. */
export function nativeCrypto(): typeof import("node:crypto") | undefined {
  return native;
}

/**
 * Computes the SHA-256 of bytes in memory.
 *
 * @example
 * ```ts
 * import { sha256 } from "@plasm/plasm";
 * import { assertEquals } from "@std/assert";
 *
 * assertEquals(
 *   await sha256(new TextEncoder().encode("foo")),
 *   "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae",
 * );
 * ```
 */
export async function sha256(bytes: Uint8Array): Promise<Hash> {
  if (native !== undefined && bytes.length <= IMMEDIATE_BYTES) {
    return `sha256:${native.createHash("sha256").update(bytes).digest("hex")}`;
  }
  if (bytes.length > COPIED_BYTES && await loadNativeHash().then(() => true, () => false)) {
    return await sha256InPlace(bytes);
  }
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return `sha256:${toHex(new Uint8Array(digest))}`;
}

/** Computes the SHA-256 on this thread; other tasks run in between. */
async function sha256InPlace(bytes: Uint8Array): Promise<Hash> {
  const hash = native!.createHash("sha256");
  for (let at = 0; at < bytes.length; at += PART_BYTES) {
    hash.update(bytes.subarray(at, at + PART_BYTES));
    await new Promise((resolve) => setTimeout(resolve));
  }
  return `sha256:${hash.digest("hex")}`;
}

/**
 * Computes the SHA-256 of chunks; buffers at most 256 KiB and one chunk. Browsers hash only whole content: there all
 * chunks are buffered.
 */
export class Hasher {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #native: NodeHash | undefined = native?.createHash("sha256");
  #switching: Promise<void> | undefined;
  #done = false;

  /** Number of bytes so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Adds a chunk. The chunk may be overwritten once this returns. Await the promise, if any, before the
   * next call, or chunks accumulate in memory.
   *
   * @throws {TypeError} after {@linkcode digest}
   */
  update(chunk: Uint8Array): void | Promise<void> {
    if (this.#done) throw new TypeError("Hasher is finished");
    this.#bytes += chunk.length;
    if (this.#native !== undefined) {
      this.#native.update(chunk);
      return;
    }
    this.#chunks.push(chunk.slice());
    if (this.#bytes > BUFFERED_BYTES) return this.#switching ??= this.#switch();
  }

  /**
   * Returns the hash and ends the stream.
   *
   * @throws {TypeError} if called twice
   */
  async digest(): Promise<Hash> {
    if (this.#done) throw new TypeError("Hasher is finished");
    this.#done = true;
    await this.#switching;
    if (this.#native !== undefined) return `sha256:${this.#native.digest("hex")}`;
    return await sha256(concat(this.#chunks));
  }

  async #switch(): Promise<void> {
    const isLoaded = await loadNativeHash().then(() => true, () => false);
    if (!isLoaded) return;
    const hash = native!.createHash("sha256");
    for (const chunk of this.#chunks) hash.update(chunk);
    this.#chunks = [];
    this.#native = hash;
  }
}
