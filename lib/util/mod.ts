/**
 * Mechanisms that every component shares: bytes, framing, buffers, collections, files and text.
 *
 * @module
 */
export { fromHex, joinBytes, toHex } from "./bytes.ts";
export { BoundedMap, Heap, Notifier } from "./collections.ts";
export { LentBuffers } from "./buffer_pool.ts";
export { syncFile } from "./files.ts";
export {
  FIRST_BYTES,
  FRAME_HEADER_BYTES,
  FrameStart,
  parseFrameHeader,
  putFrameHeader,
  READ_AT,
  RoomyBytes,
  SOCKET_BYTES,
} from "./framing.ts";
export { Histogram } from "./histogram.ts";
export { type InputReader, ReadAhead } from "./prefetch.ts";
export { RateLimiter } from "./rate_limiter.ts";
export { ReadBuffer } from "./read_buffer.ts";
export { escapeUnsafe, lines, type LinesOptions, nearest, printable } from "./text.ts";
