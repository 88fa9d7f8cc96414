/**
 * Public entry point of the remote/wire component.
 * @module
 */
export {
  type ByteStream,
  checksumOf,
  Disconnected,
  FrameChannel,
  Silent,
} from "./frame_channel.ts";
export {
  ALIVE_MS,
  BLOB_BYTES,
  type BlobRef,
  checkEventBody,
  checkOffer,
  CHUNK_BYTES,
  CLOCK_SKEW_MS,
  contentOf,
  DOCUMENT_VERSION,
  EVENT_DATA_BYTES,
  type EventBody,
  isSameOffer,
  JOB_PROTOCOL,
  MAX_INPUTS,
  type MessageOf,
  type Need,
  OFFER_VALID_MS,
  OFFERED_STDIN_BYTES,
  type OfferedJob,
  SILENCE_MS,
  Stated,
  STREAM_REUSE_MS,
} from "./messages.ts";
