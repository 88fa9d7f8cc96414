/**
 * Chunks of content out of their CBOR without a copy of the content. Canonical CBOR (RFC 8949, section 4.2.1)
 * has the keys of a map in the order of their encodings, so `data` is the first of a chunk's.
 * @module
 */
import { decodeMessage, encodeMessage } from "../network/frame.ts";

/** A map of five fields, and the first one's key. */
const HEAD: Uint8Array = Uint8Array.from([0xa5, ...encodeMessage("data")]);
/** A map of the four other fields. */
const REST_MAP = 0xa4;

/**
 * Reads a message that may be a chunk. Its `data` is a part of the bytes.
 *
 * @throws {PlasmError} `protocol` where they are not canonical CBOR
 */
export function decodeChunk(bytes: Uint8Array): unknown {
  const length = dataLength(bytes);
  if (length === undefined) return decodeMessage(bytes);
  const [start, size] = length;
  const rest = new Uint8Array(1 + bytes.length - start - size);
  rest[0] = REST_MAP;
  rest.set(bytes.subarray(start + size), 1);
  const others = decodeMessage(rest) as Record<string, unknown>;
  // A second `data` would leave one of the four without its place, which whoever checks the fields finds.
  return { ...others, data: bytes.subarray(start, start + size) };
}

/** Where the data begins and how long it is; `undefined` where this is not for us to read. */
function dataLength(bytes: Uint8Array): [start: number, size: number] | undefined {
  for (let at = 0; at < HEAD.length; at++) if (bytes[at] !== HEAD[at]) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const at = HEAD.length;
  // Lengths of two or four bytes, in their shortest form: other data is too short to be worth it.
  const width = { 0x59: 2, 0x5a: 4 }[bytes[at] ?? 0];
  if (width === undefined || bytes.length < at + 1 + width) return undefined;
  const size = width === 2 ? view.getUint16(at + 1) : view.getUint32(at + 1);
  const start = at + 1 + width;
  const isShortest = size > (width === 2 ? 0xff : 0xffff);
  return isShortest && start + size < bytes.length ? [start, size] : undefined;
}
