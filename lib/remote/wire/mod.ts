/**
 * Public entry point of the remote/wire component.
 * @module
 */
export {
  type ByteStream,
  byteStreamOf,
  Disconnected,
  type ReusableByteStream,
} from "./byte_stream.ts";
export { checksumOf } from "./chunk_frame.ts";
export {
  ALIVE_MS,
  CHUNK_BYTES,
  CLOCK_SKEW_MS,
  EVENT_DATA_BYTES,
  JOB_PROTOCOL,
  JOB_VERSION,
  MAX_INPUTS,
  OFFER_VALID_MS,
  OFFERED_STDIN_BYTES,
  SILENCE_MS,
  STREAM_REUSE_MS,
} from "./messages.ts";
export { FrameChannel } from "./frame_channel.ts";
export {
  BLOB_BYTES,
  type BlobRef,
  checkEventBody,
  type EventBody,
  type MessageOf,
  type Need,
} from "./messages.ts";
export { type ClientRequest, readNextRequest, REQUESTS } from "./frame_channel.ts";
export { checkOffer, contentOf, isSameOffer, type OfferedJob } from "./offer.ts";
