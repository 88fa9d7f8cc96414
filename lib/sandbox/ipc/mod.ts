/**
 * Communication between the processes and threads of a sandbox: frames, rings in shared memory and the mailbox.
 *
 * @module
 */
export {
  CAPTURED_FRAMES,
  createMailbox,
  type GuestCode,
  type GuestComponent,
  type GuestExit,
  type MailboxBuffers,
  type MailboxJob,
  MailboxReceiver,
  MailboxSender,
  type WorkerJob,
  type WorkerResult,
} from "./mailbox.ts";
export { FRAME_OFFSET, OUTPUT_RING_BYTES, OutputRingReader, OutputRingWriter } from "./ring.ts";
export {
  checkIpcHeader,
  CHILD_FRAMES,
  collectionLimitMs,
  compileErrorMessage,
  describeSlowCollection,
  type DeterministicHeader,
  encodeIpcJson,
  type FinishedReport,
  FrameKind,
  type IpcFrame,
  type JobHeader,
  MAX_STDIN_BYTES,
  MAX_STREAM_BYTES,
  type ModuleHeader,
  PARENT_FRAMES,
  type RefusedReport,
  STOPPING_MARK,
  type UsageReport,
} from "./protocol.ts";
export { createRing, type RingBuffers, RingReader, RingWriter } from "./ring.ts";
