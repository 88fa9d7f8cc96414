/**
 * Canonical CBOR and length-prefixed frames: the encoding of the peer-to-peer protocols.
 *
 * Separate from core, because it loads libp2p's stream helpers, which a local job does not need.
 *
 * @module
 */
export {
  decodeMessage,
  encodeFrame,
  encodeFrameInto,
  encodeMessage,
  frameStream,
  MAX_LENGTH_BYTES,
} from "./cbor_frame.ts";
