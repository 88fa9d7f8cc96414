/**
 * Encodes and decodes messages as canonical CBOR, and frames them by a length prefix.
 *
 * @module
 */
import type { Stream } from "@libp2p/interface";
import { lpStream } from "@libp2p/utils";
import { decode, encode, encodeInto, rfc8949EncodeOptions } from "cborg";
import { encode as encodeVarint, encodingLength } from "uint8-varint";
import { concat } from "../../util/mod.ts";
import { PlasmError } from "../errors/mod.ts";

/** Reads and writes messages on a stream. */
export interface FrameStream {
  /**
   * Reads one message.
   *
   * @throws {PlasmError} `protocol` if it is too large, truncated or not canonical CBOR
   * @throws {DOMException} the signal's reason if it is aborted
   */
  read(options: { signal: AbortSignal }): Promise<unknown>;
  /** Writes one message. */
  write(message: unknown, options: { signal: AbortSignal }): Promise<void>;
}

/**
 * Frames a libp2p stream.
 *
 * @param maxBytes Maximum size of a received message
 */
export function frameStream(stream: Stream, { maxBytes }: { maxBytes: number }): FrameStream {
  const frames = lpStream(stream, { maxDataLength: maxBytes, maxBufferSize: maxBytes + 8 });
  return {
    async read({ signal }) {
      const bytes = await frames.read({ signal }).catch((error: Error) => {
        signal.throwIfAborted();
        throw new PlasmError("protocol", `Cannot read message: ${error.message}`, {
          details: { max_bytes: maxBytes },
          cause: error,
        });
      });
      return decodeMessage(bytes.subarray());
    },
    async write(message, { signal }) {
      await frames.write(encodeMessage(message), { signal });
    },
  };
}

type MapSorter = NonNullable<(typeof rfc8949EncodeOptions)["mapSorter"]>;
const bytewise: MapSorter = rfc8949EncodeOptions.mapSorter!;

/** Text whose length and order are the same in UTF-8 and UTF-16. */
const ASCII = /^\p{ASCII}*$/u;

/**
 * Orders keys by their encodings, as cborg does, but without encoding them: the encoding of a text key begins with its length.
 */
const byKey: MapSorter = (left, right) => {
  const [a, b] = [keyOf(left), keyOf(right)];
  if (a === undefined || b === undefined) return bytewise(left, right);
  if (a.length !== b.length) return a.length - b.length;
  return a < b ? -1 : a > b ? 1 : 0;
};

function keyOf([key]: Parameters<MapSorter>[0]): string | undefined {
  const value = Array.isArray(key) ? undefined : key?.value;
  return typeof value === "string" && ASCII.test(value) ? value : undefined;
}

const ENCODING: typeof rfc8949EncodeOptions = { ...rfc8949EncodeOptions, mapSorter: byKey };

/** Encodes strings, integers, lists and maps as canonical CBOR (RFC 8949, section 4.2.1). */
export function encodeMessage(message: unknown): Uint8Array {
  return encode(message, ENCODING);
}

/** Size of the scratch buffer, in bytes: a chunk of output and its envelope. Longer messages allocate. */
const SCRATCH_BYTES = 80 * 1024;
/** Shared, because nothing is awaited between filling and reading it. */
const scratch = new Uint8Array(SCRATCH_BYTES + Uint32Array.BYTES_PER_ELEMENT);

/** Bytes of a varint for lengths up to 2 MiB. */
export const MAX_LENGTH_BYTES = 3;

/** Encodes a message with its length, an unsigned varint, in front. */
export function encodeFrame(message: unknown): Uint8Array {
  const body = encodeMessage(message);
  return concat([encodeVarint(body.length), body]);
}

/**
 * As {@linkcode encodeFrame}, into an existing buffer: allocating memory for a long message costs ten times as much
 * as encoding it. Returns the part of the buffer that contains the frame.
 *
 * @throws {Error} if the message does not fit
 */
export function encodeFrameInto(message: unknown, buffer: Uint8Array): Uint8Array {
  const body = buffer.subarray(MAX_LENGTH_BYTES);
  const { written } = encodeInto(message, body, ENCODING);
  const start = MAX_LENGTH_BYTES - encodingLength(written);
  encodeVarint(written, buffer, start);
  return buffer.subarray(start, MAX_LENGTH_BYTES + written);
}

/**
 * Decodes canonical CBOR.
 *
 * @throws {PlasmError} `protocol` if the bytes are anything else
 */
export function decodeMessage(bytes: Uint8Array): unknown {
  let message: unknown;
  try {
    message = decode(bytes, {
      strict: true,
      allowIndefinite: false,
      allowUndefined: false,
      allowNaN: false,
      allowInfinity: false,
      allowBigInt: false,
      rejectDuplicateMapKeys: true,
    });
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PlasmError("protocol", `Cannot read message: ${why}`, { cause: error });
  }
  // Each value has exactly one encoding.
  if (!isSame(bytes, encodeAgain(message, bytes))) {
    throw new PlasmError("protocol", "Cannot read message: its CBOR is not canonical");
  }
  return message;
}

/** Encodes a message with the same memory alignment as `like`; empty if it is longer. */
function encodeAgain(message: unknown, like: Uint8Array): Uint8Array {
  if (like.length > SCRATCH_BYTES) return encodeMessage(message);
  const from = like.byteOffset % Uint32Array.BYTES_PER_ELEMENT;
  const space = scratch.subarray(from, from + like.length);
  try {
    return space.subarray(0, encodeInto(message, space, ENCODING).written);
  } catch {
    return space.subarray(0, 0); // it does not fit
  }
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  const width = Uint32Array.BYTES_PER_ELEMENT;
  const head = Math.min(a.length, (width - a.byteOffset % width) % width);
  let at = 0;
  while (at < head && a[at] === b[at]) at++;
  if (at < head) return false;
  // By words if both have the same alignment; only output is long.
  if ((a.byteOffset - b.byteOffset) % width === 0) {
    const words = Math.floor((a.length - head) / width);
    const [left, right] = [a, b].map((part) =>
      new Uint32Array(part.buffer, part.byteOffset + head, words)
    ) as [Uint32Array, Uint32Array];
    for (let word = 0; word < words; word++) if (left[word] !== right[word]) return false;
    at = head + words * width;
  }
  while (at < a.length && a[at] === b[at]) at++;
  return at === a.length;
}
