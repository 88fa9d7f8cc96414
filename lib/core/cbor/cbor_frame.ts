/**
 * Messages of our small protocols: one value of canonical CBOR behind its length.
 * @module
 */
import type { Stream } from "@libp2p/interface";
import { lpStream } from "@libp2p/utils";
import { decode, encode, encodeInto, rfc8949EncodeOptions } from "cborg";
import { joinBytes } from "../../util/mod.ts";
import { PlasmError } from "../errors/errors.ts";

/** One side of a conversation in frames. */
export interface FrameStream {
  /**
   * Reads one message.
   *
   * @throws {PlasmError} `protocol` where it is too large, cut off or not canonical CBOR
   * @throws {DOMException} where the signal is aborted: its reason
   */
  read(options: { signal: AbortSignal }): Promise<unknown>;
  /** Writes one message. */
  write(message: unknown, options: { signal: AbortSignal }): Promise<void>;
}

/**
 * Frames over a stream.
 *
 * @param maxBytes Largest message that is read
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

/** Text whose length in UTF-8, and whose order in it, is that of its UTF-16. */
const ASCII = /^\p{ASCII}*$/u;

/**
 * Orders keys by their encodings, as cborg does, but without making them: a key of text begins with its length.
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

/** The canonical CBOR (RFC 8949, section 4.2.1) of a value of strings, integers, lists and maps. */
export function encodeMessage(message: unknown): Uint8Array {
  return encode(message, ENCODING);
}

/** Longest message that is looked at again without memory of its own: a piece of output, and room around it. */
const SCRATCH_BYTES = 80 * 1024;
/** One is enough: nothing is awaited between filling and reading it. */
const scratch = new Uint8Array(SCRATCH_BYTES + Uint32Array.BYTES_PER_ELEMENT);

/** Bytes of a varint that can say any length up to 2 MiB. */
export const MAX_LENGTH_BYTES = 3;

/** A message behind its length as an unsigned varint. */
export function encodeFrame(message: unknown): Uint8Array {
  const body = encodeMessage(message);
  return joinBytes([varint(body.length), body]);
}

/**
 * As {@linkcode encodeFrame}, in memory that is there already: new memory for each long message costs ten
 * times what it costs to write it. Returns the part of the buffer that has the frame.
 *
 * @throws {Error} where the message does not fit
 */
export function encodeFrameInto(message: unknown, buffer: Uint8Array): Uint8Array {
  const body = buffer.subarray(MAX_LENGTH_BYTES);
  const { written } = encodeInto(message, body, ENCODING);
  const head = varint(written);
  const start = MAX_LENGTH_BYTES - head.length;
  buffer.set(head, start);
  return buffer.subarray(start, MAX_LENGTH_BYTES + written);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  for (let rest = value; bytes.length === 0 || rest > 0; rest >>>= 7) {
    bytes.push((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
  }
  return Uint8Array.from(bytes);
}

/**
 * Reads canonical CBOR.
 *
 * @throws {PlasmError} `protocol` where the bytes are anything else
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
  // One value, one sequence of bytes: no room for a second meaning.
  if (!isSame(bytes, encodeAgain(message, bytes))) {
    throw new PlasmError("protocol", "Cannot read message: its CBOR is not canonical");
  }
  return message;
}

/** The encoding of a message, aligned in memory as these bytes are; of no bytes where it is longer. */
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
  // Word by word where both are aligned alike: output is all that is long here.
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
