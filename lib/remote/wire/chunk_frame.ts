/**
 * Decodes chunk messages without copying their content, and computes their checksum.
 *
 * @module
 */
import { crc32 } from "node:zlib";
import { decodeMessage, encodeMessage } from "../../core/cbor/mod.ts";

/**
 * CRC-32 of a chunk (ISO 3309, as in gzip): tells at once where bytes were damaged on their way through the
 * machines of both sides. Against forgery it need not help: Noise authenticates what is sent, and the whole is
 * held against its SHA-256 before it is used.
 */
export function checksumOf(data: Uint8Array): number {
  return crc32(data);
}

/** A map of five fields, and the first one's key. */
const HEAD: Uint8Array = Uint8Array.from([0xa5, ...encodeMessage("data")]);
/** A map of the four other fields. */
const REST_MAP = 0xa4;

/** Characters of "sha256:" and 64 hex digits. */
const HASH_CHARACTERS = 71;
/** What is between the data and the hash: its key, and the head of a text of this length. */
const BEFORE_HASH: Uint8Array = Uint8Array.from([
  ...encodeMessage("hash"),
  ...encodeMessage("-".repeat(HASH_CHARACTERS)).subarray(0, -HASH_CHARACTERS),
]);
const BEFORE_OFFSET: Uint8Array = Uint8Array.from(
  ["type", "chunk", "offset"].flatMap((text) => [...encodeMessage(text)]),
);
const BEFORE_CHECKSUM: Uint8Array = encodeMessage("checksum");

/**
 * Reads a message that may be a chunk. Its `data` is a part of the bytes.
 *
 * @throws {PlasmError} `protocol` where they are not canonical CBOR
 */
export function decodeChunk(bytes: Uint8Array): unknown {
  const length = dataLength(bytes);
  if (length === undefined) return decodeMessage(bytes);
  const [start, size] = length;
  const data = bytes.subarray(start, start + size);
  const others = usualRest(bytes, start + size);
  if (others !== undefined) return { ...others, data };
  const rest = new Uint8Array(1 + bytes.length - start - size);
  rest[0] = REST_MAP;
  rest.set(bytes.subarray(start + size), 1);
  // A second `data` would leave one of the four fields missing, which the field checks report.
  return { ...decodeMessage(rest) as Record<string, unknown>, data };
}

/** Where the data begins and how long it is; `undefined` where this is not for us to read. */
function dataLength(bytes: Uint8Array): [start: number, size: number] | undefined {
  if (!isAt(HEAD, bytes, 0)) return undefined;
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

/**
 * The other fields where they are as every chunk of a transfer has them: a reader of any CBOR takes as
 * long for them as to encrypt a sixth of the data. `undefined` leaves them to that one.
 */
function usualRest(bytes: Uint8Array, start: number): Record<string, unknown> | undefined {
  const hashAt = start + BEFORE_HASH.length;
  const typeAt = hashAt + HASH_CHARACTERS;
  if (!isAt(BEFORE_HASH, bytes, start) || !isAt(BEFORE_OFFSET, bytes, typeAt)) return undefined;
  const characters = bytes.subarray(hashAt, typeAt);
  if (!characters.every((byte) => byte < 0x80)) return undefined;
  const offset = countAt(bytes, typeAt + BEFORE_OFFSET.length);
  if (offset === undefined || !isAt(BEFORE_CHECKSUM, bytes, offset.end)) return undefined;
  const checksum = countAt(bytes, offset.end + BEFORE_CHECKSUM.length);
  if (checksum?.end !== bytes.length) return undefined;
  return {
    hash: String.fromCharCode(...characters),
    type: "chunk",
    offset: offset.value,
    checksum: checksum.value,
  };
}

function isAt(expected: Uint8Array, bytes: Uint8Array, at: number): boolean {
  for (let n = 0; n < expected.length; n++) if (bytes[at + n] !== expected[n]) return false;
  return true;
}

/** An unsigned integer of up to 32 bits in its shortest form, and where it ends. */
function countAt(bytes: Uint8Array, at: number): { value: number; end: number } | undefined {
  const head = bytes[at] ?? 0xff;
  if (head < 24) return { value: head, end: at + 1 };
  const width = { 0x18: 1, 0x19: 2, 0x1a: 4 }[head];
  if (width === undefined || at + 1 + width > bytes.length) return undefined;
  let value = 0;
  for (let n = 1; n <= width; n++) value = value * 256 + bytes[at + n]!;
  const least = { 1: 24, 2: 2 ** 8, 4: 2 ** 16 }[width]!;
  return value < least ? undefined : { value, end: at + 1 + width };
}
