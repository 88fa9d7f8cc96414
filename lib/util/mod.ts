/**
 * Mechanisms that every component shares: bytes, framing, buffers, collections, files and text.
 *
 * @module
 */
export { fromHex, joinBytes, toHex } from "./bytes.ts";
export { BoundedMap, Heap, Notifier } from "./collections.ts";
export { BufferPool } from "./buffer_pool.ts";
export { syncFile } from "./files.ts";
export {
  FIRST_BYTES,
  FRAME_HEADER_BYTES,
  FrameWriter,
  HeadroomBuffer,
  parseFrameHeader,
  putFrameHeader,
  READ_AT,
  SOCKET_BYTES,
} from "./framing.ts";
export { Histogram } from "./histogram.ts";
export { InputPrefetcher, type InputReader } from "./prefetch.ts";
export { RateLimiter } from "./rate_limiter.ts";
export { ReadBuffer } from "./read_buffer.ts";
export { escapeUnsafe, lines, type LinesOptions, nearest, printable } from "./text.ts";
