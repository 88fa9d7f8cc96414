/**
 * Sends a job's standard input to its executor, as long as the job lives.
 * @module
 */
import { encodeFrame, encodeFrameHeader, FrameKind } from "./frames.ts";
import { MAX_STREAM_BYTES } from "./executor_protocol.ts";

/** Input above this is not copied to stand behind its frame's header, in bytes. */
const COPIED_BYTES = 16 * 1024;

/** Options of {@linkcode pumpStdin}. */
export interface PumpStdinOptions {
  /** Takes bytes of frames; resolves when there is room for more. */
  write: (bytes: Uint8Array) => Promise<void>;
  /** Aborted when the job has ended: what is unread stays unread. */
  signal: AbortSignal;
}

/** Sends bytes or a stream as Stdin frames until its end or the job's. */
export async function pumpStdin(
  source: ReadableStream<Uint8Array> | Uint8Array | undefined,
  options: PumpStdinOptions,
): Promise<void> {
  if (source === undefined) return;
  if (source instanceof Uint8Array) return await sendCut(source, options);
  const reader = source.getReader();
  // A source like a terminal may never give another byte: the cancel lets the read below go.
  const onAbort = () => reader.cancel().catch(() => {});
  options.signal.addEventListener("abort", onAbort, { once: true });
  if (options.signal.aborted) onAbort();
  try {
    while (!options.signal.aborted) {
      const { done, value } = await reader.read();
      if (done) return;
      await sendCut(value, options);
    }
  } finally {
    options.signal.removeEventListener("abort", onAbort);
    reader.releaseLock();
  }
}

async function sendCut(bytes: Uint8Array, options: PumpStdinOptions): Promise<void> {
  for (let at = 0; at < bytes.length && !options.signal.aborted; at += MAX_STREAM_BYTES) {
    const part = bytes.subarray(at, at + MAX_STREAM_BYTES);
    if (part.length <= COPIED_BYTES) {
      await options.write(encodeFrame(FrameKind.Stdin, part));
      continue;
    }
    await options.write(encodeFrameHeader(FrameKind.Stdin, part.length));
    await options.write(part);
  }
}
