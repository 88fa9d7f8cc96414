/**
 * Public entry point of the sandbox/ipc component.
 * @module
 */
export {
  encodeIpcFrame,
  encodeIpcHeader,
  encodeIpcJson,
  type Frame,
  FRAME_HEADER_BYTES,
  FrameKind,
  parseFrameHeader,
  readFrames,
} from "./frames.ts";
export { createMailbox, type MailboxBuffers, MailboxReceiver, MailboxSender } from "./mailbox.ts";
export { FRAME_AT, OUTPUT_RING_BYTES, OutputRingReader, OutputRingWriter } from "./output_ring.ts";
export {
  type FinishedReport,
  type JobHeader,
  MAX_JOB_HEADER_BYTES,
  MAX_REPORT_BYTES,
  MAX_STDIN_BYTES,
  MAX_STREAM_BYTES,
  type ModuleHeader,
  type RefusedReport,
  STOPPING_MARK,
  type UsageReport,
} from "./protocol.ts";
export { createRing, type RingBuffers, RingReader, RingWriter } from "./ring.ts";
