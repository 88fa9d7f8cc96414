/**
 * How an executor process and its parent talk over its stdin and stdout: frames of one kind byte,
 * a little-endian u32 length and that many bytes; see `framing.ts`.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import {
  FRAME_HEADER_BYTES,
  parseFrameHeader,
  putFrameHeader,
  RoomyBytes,
} from "../../util/mod.ts";

export { FrameKind } from "../bootstrap/mod.ts";
export { FRAME_HEADER_BYTES, parseFrameHeader, putFrameHeader };

/** One frame. */
export interface Frame {
  kind: number;
  payload: Uint8Array;
}

/** The header of a frame whose payload is sent by itself. */
export function encodeIpcHeader(kind: number, length: number): Uint8Array {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  putFrameHeader(header, kind, length);
  return header;
}

/** Makes one frame of a kind and its payload. */
export function encodeIpcFrame(kind: number, payload: Uint8Array = new Uint8Array()): Uint8Array {
  const frame = new Uint8Array(FRAME_HEADER_BYTES + payload.length);
  putFrameHeader(frame, kind, payload.length);
  frame.set(payload, FRAME_HEADER_BYTES);
  return frame;
}

/** Makes one frame whose payload is JSON. */
export function encodeIpcJson(kind: number, value: unknown): Uint8Array {
  return encodeIpcFrame(kind, encoder.encode(JSON.stringify(value)));
}

const encoder = new TextEncoder();

/** Options of {@linkcode readFrames}. */
export interface ReadFramesOptions {
  /** Largest payload that is taken of a kind, in bytes; a kind that is not named is refused. */
  maxBytes: (kind: number) => number | undefined;
  /**
   * Kinds whose payload is yielded as it comes, a frame for each part, as views of the chunks.
   * @default {none}
   */
  inParts?: readonly number[] | undefined;
}

/**
 * Cuts a byte stream into frames. All but those in parts are copies: the source may use its chunks
 * again. The end of the stream within a frame just ends: the other side has died, which its parent or
 * child learns otherwise.
 *
 * @throws {PlasmError} `executor` on a frame that is not allowed.
 */
export async function* readFrames(
  source: AsyncIterable<Uint8Array>,
  options: ReadFramesOptions,
): AsyncGenerator<Frame, void, void> {
  const header = new Uint8Array(FRAME_HEADER_BYTES);
  let headerFill = 0;
  let payload: Uint8Array | undefined;
  let payloadFill = 0;
  let kind = 0;
  /** Bytes that are still to come of a frame in parts. */
  let partsLeft = 0;
  for await (const chunk of source) {
    let at = 0;
    while (at < chunk.length) {
      if (partsLeft > 0) {
        const part = partOf(chunk, at, at + partsLeft);
        partsLeft -= part.length;
        at += part.length;
        yield { kind, payload: part };
        continue;
      }
      if (payload === undefined) {
        const count = Math.min(FRAME_HEADER_BYTES - headerFill, chunk.length - at);
        header.set(chunk.subarray(at, at + count), headerFill);
        headerFill += count;
        at += count;
        if (headerFill < FRAME_HEADER_BYTES) break;
        headerFill = 0;
        const { kind: found, length } = parseFrameHeader(header);
        kind = found;
        const max = options.maxBytes(kind);
        if (max === undefined || length > max) {
          throw new PlasmError(
            "executor",
            `Cannot read frame: kind ${kind} of ${length} bytes, allowed are ${max ?? "none"}`,
          );
        }
        if (length > 0 && options.inParts?.includes(kind)) {
          partsLeft = length;
          continue;
        }
        if (length <= chunk.length - at) {
          yield { kind, payload: chunk.slice(at, at + length) };
          at += length;
          continue;
        }
        payload = new Uint8Array(length);
        payloadFill = 0;
      }
      const count = Math.min(payload.length - payloadFill, chunk.length - at);
      payload.set(chunk.subarray(at, at + count), payloadFill);
      payloadFill += count;
      at += count;
      if (payloadFill < payload.length) break;
      const complete = payload;
      payload = undefined;
      yield { kind, payload: complete };
    }
  }
}

/** A part of a chunk; before it is the room of the chunk or a header that has been read. */
function partOf(chunk: Uint8Array, start: number, end: number): Uint8Array {
  if (!(chunk instanceof RoomyBytes)) return chunk.subarray(start, end);
  const { buffer, byteOffset, length } = chunk;
  return new RoomyBytes(buffer, byteOffset + start, Math.min(end, length) - start);
}
