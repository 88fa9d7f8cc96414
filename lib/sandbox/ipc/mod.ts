/**
 * Communication between the processes and threads of a sandbox: frames, rings in shared memory and the mailbox.
 *
 * @module
 */
export {
  createMailbox,
  type GuestExit,
  type MailboxBuffers,
  type MailboxJob,
  MailboxReceiver,
  MailboxSender,
  type WorkerJob,
  type WorkerResult,
} from "./mailbox.ts";
export {
  FRAME_OFFSET,
  OUTPUT_RING_BYTES,
  OutputRingReader,
  OutputRingWriter,
} from "./output_ring.ts";
export {
  encodeIpcFrame,
  encodeIpcHeader,
  encodeIpcJson,
  type FinishedReport,
  FRAME_HEADER_BYTES,
  FrameKind,
  type IpcFrame,
  type JobHeader,
  MAX_JOB_HEADER_BYTES,
  MAX_REPORT_BYTES,
  MAX_STDIN_BYTES,
  MAX_STREAM_BYTES,
  type ModuleHeader,
  parseFrameHeader,
  readIpcFrames,
  type RefusedReport,
  STOPPING_MARK,
  type UsageReport,
} from "./protocol.ts";
export { createRing, type RingBuffers, RingReader, RingWriter } from "./ring.ts";
