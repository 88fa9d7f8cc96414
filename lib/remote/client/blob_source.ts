/**
 * Content that a client can give from any offset on.
 * @module
 */
import { type Hash, sha256 } from "../../core/mod.ts";
import { checksumOf, CHUNK_BYTES, type MessageOf } from "../wire/mod.ts";

/** Content to send. */
export interface BlobSource {
  readonly hash: Hash;
  /** In bytes. */
  readonly size: number;
  /** Bytes from an offset on: `length` of them, fewer only at the end. */
  read(offset: number, length: number): Uint8Array | Promise<Uint8Array>;
}

/** Content in memory. */
export async function bytesSource(bytes: Uint8Array): Promise<BlobSource> {
  return {
    hash: await sha256(bytes),
    size: bytes.length,
    read: (offset, length) => bytes.subarray(offset, offset + length),
  };
}

/** Content as chunks, from an offset on; read one at a time. */
export async function* chunksOf(
  source: BlobSource,
  offset: number,
): AsyncGenerator<MessageOf<"chunk">, void, void> {
  for (let at = offset; at < source.size; at += CHUNK_BYTES) {
    const data = await source.read(at, Math.min(CHUNK_BYTES, source.size - at));
    const checksum = checksumOf(data);
    yield { type: "chunk", hash: source.hash, offset: at, data, checksum };
  }
}
