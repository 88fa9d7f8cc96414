/**
 * Bytes for streams: made, sent, read and compared.
 * @module
 */
import type { Stream } from "@libp2p/interface";

/** Writes all of it, waiting whenever the stream says so; never more than 64 KiB at once. */
export async function sendAll(stream: Stream, data: Uint8Array): Promise<void> {
  for (let offset = 0; offset < data.byteLength; offset += 64 * 1024) {
    if (!stream.send(data.subarray(offset, offset + 64 * 1024))) await stream.onDrain();
  }
}

/** Reads to the end. */
export async function readAll(
  stream: AsyncIterable<Uint8Array | { subarray(): Uint8Array }>,
): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const part of stream) parts.push(part.subarray());
  return new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
}

/** In hex. */
export async function sha256(data: Uint8Array): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", data as BufferSource)).toHex();
}

/** Pseudo-random bytes that are the same in every run (xorshift32). */
export function bytes(length: number, seed: number): Uint8Array {
  const words = new Uint32Array(length / 4);
  let x = seed;
  for (let i = 0; i < words.length; i++) {
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    words[i] = x;
  }
  return new Uint8Array(words.buffer);
}
