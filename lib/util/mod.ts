/**
 * Public entry point of the util component.
 * @module
 */
export { BoundedMap } from "./bounded_map.ts";
export { LentBuffers } from "./buffer_pool.ts";
export { joinBytes } from "./bytes.ts";
export { nearest } from "./did_you_mean.ts";
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
export { Heap } from "./heap.ts";
export { fromHex, toHex } from "./hex.ts";
export { Histogram } from "./histogram.ts";
export { lines, type LinesOptions } from "./lines.ts";
export { Notifier } from "./notifier.ts";
export { type InputReader, ReadAhead } from "./prefetch.ts";
export { RateLimiter } from "./rate_limiter.ts";
export { ReadBuffer } from "./read_buffer.ts";
export { escapeUnsafe, printable } from "./text.ts";
