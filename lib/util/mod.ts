/**
 * Mechanisms that every component shares: bytes, framing, buffers, collections and text.
 *
 * @module
 */
export {
  concat,
  equalSecrets,
  fromBase64,
  fromHex,
  type PartialWriter,
  toBase64,
  toHex,
  writeAll,
} from "./bytes.ts";
export { BoundedMap, Heap, Notifier } from "./collections.ts";
export { BufferPool, ReadBuffer } from "./buffer_pool.ts";
export {
  buildFrame,
  encodeFrameHeader,
  FIRST_BYTES,
  FRAME_HEADER_BYTES,
  type FrameHeader,
  FrameReader,
  type FrameSource,
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
export {
  encodeTarHeader,
  memberPadding,
  tarEnd,
  type TarMember,
  type TarMemberPart,
  TarReader,
} from "./tar.ts";
export { didYouMean, escapeJson, escapeText, lines, type LinesOptions } from "./text.ts";
