/**
 * Sends a job's standard input to its executor, as long as the job lives.
 * @module
 */
import { FrameStart, RoomyBytes } from "../../util/mod.ts";
import { encodeIpcFrame, encodeIpcHeader, FrameKind, MAX_STDIN_BYTES } from "../ipc/mod.ts";

/** Input above this is not copied to stand behind its frame's header, in bytes. */
const COPIED_BYTES = 16 * 1024;

/** Options of {@linkcode pumpStdin}. */
export interface PumpStdinOptions {
  /** Takes bytes of frames; resolves when there is room for more. */
  write: (bytes: Uint8Array) => Promise<void>;
  /** Aborted when the job has ended: what is unread stays unread. */
  signal: AbortSignal;
}

/** What ends a frame that was begun, where nobody reads it. */
const FILLING = new Uint8Array(16 * 1024);

/** Sends bytes or a stream as Stdin frames until its end or the job's. */
export async function pumpStdin(
  source: ReadableStream<Uint8Array> | Uint8Array | undefined,
  options: PumpStdinOptions,
): Promise<void> {
  if (source === undefined) return;
  if (source instanceof Uint8Array) return await sendCut(source, options);
  const { signal } = options;
  const reader = source.getReader();
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => {
    aborted.resolve();
    // A source like a terminal may never give another byte: the cancel lets the read below go.
    reader.cancel().catch(() => {});
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const frames = new StdinFrames(options);
  try {
    while (!signal.aborted) {
      const { done, value } = await reader.read();
      if (done) break;
      await frames.send(value);
      if (value instanceof RoomyBytes) value.release();
    }
    // The guest must not take what fills the frame for its input: who broke the input off ends the job.
    if (!frames.isWhole) await aborted.promise;
    await frames.fill();
  } finally {
    signal.removeEventListener("abort", onAbort);
    reader.releaseLock();
  }
}

/** The frames of a stream. */
class StdinFrames {
  readonly #options: PumpStdinOptions;
  readonly #start = new FrameStart();
  /** Bytes of the frame that was begun which are still to come. */
  #left = 0;

  constructor(options: PumpStdinOptions) {
    this.#options = options;
  }

  /** Whether no frame waits for its rest. */
  get isWhole(): boolean {
    return this.#left === 0;
  }

  /** Sends what came. What its source knows to follow becomes part of the same frame. */
  async send(bytes: Uint8Array): Promise<void> {
    const { write, signal } = this.#options;
    for (let at = 0; at < bytes.length && !signal.aborted;) {
      const rest = at === 0 ? bytes : bytes.subarray(at);
      if (this.#left > 0) {
        const part = rest.length <= this.#left ? rest : rest.subarray(0, this.#left);
        await write(part);
        this.#left -= part.length;
        at += part.length;
        continue;
      }
      const more = bytes instanceof RoomyBytes ? bytes.more : 0;
      const length = Math.min(rest.length + more, MAX_STDIN_BYTES);
      const part = rest.length <= length ? rest : rest.subarray(0, length);
      const [first, after] = this.#start.cut(part, { kind: FrameKind.Stdin, length });
      await write(first);
      if (after.length > 0) await write(after);
      this.#left = length - part.length;
      at += part.length;
    }
  }

  /** Ends the frame that was begun. */
  async fill(): Promise<void> {
    while (this.#left > 0) {
      const part = FILLING.subarray(0, this.#left);
      await this.#options.write(part);
      this.#left -= part.length;
    }
  }
}

async function sendCut(bytes: Uint8Array, options: PumpStdinOptions): Promise<void> {
  for (let at = 0; at < bytes.length && !options.signal.aborted; at += MAX_STDIN_BYTES) {
    const part = bytes.subarray(at, at + MAX_STDIN_BYTES);
    if (part.length <= COPIED_BYTES) {
      await options.write(encodeIpcFrame(FrameKind.Stdin, part));
      continue;
    }
    await options.write(encodeIpcHeader(FrameKind.Stdin, part.length));
    await options.write(part);
  }
}
