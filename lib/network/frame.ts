/**
 * Messages of our small protocols: one value of canonical CBOR behind its length.
 * @module
 */
import type { Stream } from "@libp2p/interface";
import { lpStream } from "@libp2p/utils";
import { decode, encode, rfc8949EncodeOptions } from "cborg";
import { PlasmError } from "../errors.ts";

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

/** The canonical CBOR (RFC 8949, section 4.2.1) of a value of strings, integers, lists and maps. */
export function encodeMessage(message: unknown): Uint8Array {
  return encode(message, rfc8949EncodeOptions);
}

/**
 * Reads canonical CBOR.
 *
 * @throws {PlasmError} `protocol` where the bytes are anything else
 */
export function decodeMessage(bytes: Uint8Array): unknown {
  let message: unknown;
  let again: Uint8Array;
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
    again = encodeMessage(message);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new PlasmError("protocol", `Cannot read message: ${why}`, { cause: error });
  }
  // One value, one sequence of bytes: no room for a second meaning.
  if (!isSame(bytes, again)) {
    throw new PlasmError("protocol", "Cannot read message: its CBOR is not canonical");
  }
  return message;
}

function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
