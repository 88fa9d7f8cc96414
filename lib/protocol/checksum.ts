/**
 * The checksum of a chunk.
 * @module
 */
import { createHash } from "node:crypto";

/**
 * SHA-256 of a chunk. At once, not by WebCrypto: to hand 128 KiB to another thread and back costs more than
 * to hash them.
 */
export function checksumOf(data: Uint8Array): Uint8Array {
  return createHash("sha256").update(data).digest();
}
