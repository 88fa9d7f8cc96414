/**
 * The checksum of a chunk.
 * @module
 */
import { crc32 } from "node:zlib";

/**
 * CRC-32 of a chunk (ISO 3309, as in gzip): tells at once where bytes were damaged on their way through the
 * machines of both sides. Against forgery it need not help: Noise authenticates what is sent, and the whole is
 * held against its SHA-256 before it is used.
 */
export function checksumOf(data: Uint8Array): number {
  return crc32(data);
}
