/**
 * SHA-256, in the form all documents carry it.
 * @module
 */
import type { Hash as NodeHash } from "node:crypto";
import { toHex } from "../util/mod.ts";
import type { Hash } from "./types.gen.ts";

/** Hash of no bytes: of absent standard input and of a directory among the inputs. */
export const EMPTY_HASH: Hash =
  "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/**
 * What is hashed at once with WebCrypto, in bytes. Above it node:crypto hashes as the chunks come, at
 * native speed, but its import costs some 40 ms, which a small job should not pay.
 */
const BUFFERED_BYTES = 256 * 1024;

/** node:crypto, once something has loaded it. */
let native: typeof import("node:crypto") | undefined;

/** Up to here hashing at once, at 1.5 GB/s, is cheaper than another thread; in bytes. */
const IMMEDIATE_BYTES = 64 * 1024;

/**
 * Loads node:crypto, which from then on hashes what is small, and signs: WebCrypto goes by way of another
 * thread and back, 70 µs of work for each hash, where this takes 2. For processes that live long.
 */
export async function loadNativeHash(): Promise<void> {
  native ??= await import("node:crypto");
}

/** Tells whether a value is "sha256:" and 64 lowercase hex digits. */
export function isHash(value: unknown): value is Hash {
  return typeof value === "string" && /^sha256:[0-9a-f]{64}$/.test(value);
}

/** node:crypto, where {@linkcode loadNativeHash} has loaded it. */
export function nativeCrypto(): typeof import("node:crypto") | undefined {
  return native;
}

/**
 * SHA-256 of bytes that are in memory already.
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
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return `sha256:${toHex(new Uint8Array(digest))}`;
}

/** SHA-256 of bytes that come in chunks; holds at most 256 KiB of them and one chunk. */
export class Hasher {
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  #native: NodeHash | undefined = native?.createHash("sha256");
  #switching: Promise<void> | undefined;
  #done = false;

  /** Bytes seen so far. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Takes the next chunk. The chunk may be changed once this returns; await the promise, where
   * there is one, before the next call, or chunks pile up.
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
   * Ends the stream.
   *
   * @throws {TypeError} when called twice
   */
  async digest(): Promise<Hash> {
    if (this.#done) throw new TypeError("Hasher is finished");
    this.#done = true;
    await this.#switching;
    if (this.#native !== undefined) return `sha256:${this.#native.digest("hex")}`;
    const whole = new Uint8Array(this.#bytes);
    let offset = 0;
    for (const chunk of this.#chunks) {
      whole.set(chunk, offset);
      offset += chunk.length;
    }
    return await sha256(whole);
  }

  async #switch(): Promise<void> {
    await loadNativeHash();
    const hash = native!.createHash("sha256");
    for (const chunk of this.#chunks) hash.update(chunk);
    this.#chunks = [];
    this.#native = hash;
  }
}
