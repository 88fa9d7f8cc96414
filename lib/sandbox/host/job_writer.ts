/**
 * Writes a job to its child process: header, module, files and standard input.
 *
 * @module
 */
import { FrameWriter, HeadroomBuffer, joinBytes } from "../../util/mod.ts";
import {
  encodeIpcFrame,
  encodeIpcHeader,
  encodeIpcJson,
  FrameKind,
  type JobHeader,
  MAX_STDIN_BYTES,
  type ModuleHeader,
} from "../ipc/mod.ts";
import type { ExecutorJob } from "../job_types.ts";

/** Size of a coalesced write, in bytes: the capacity of a pipe. A small job takes one write instead of five. */
const COALESCED_BYTES = 64 * 1024;

/** Size up to which input is copied into a frame with its header, in bytes. */
const COPIED_BYTES = 16 * 1024;

/** Content that completes a frame after its job has ended. */
const FILLER = new Uint8Array(16 * 1024);

/** Writes bytes; resolves when more may be written. */
type Write = (bytes: Uint8Array) => Promise<void>;

/** Options of {@linkcode writeJobHead}. */
export interface WriteJobHeadOptions {
  /** Description of the module. */
  module: ModuleHeader;
  /** Writes bytes; resolves when more may be written. */
  write: Write;
}

/** Options of {@linkcode writeStdin}. */
export interface WriteStdinOptions {
  /** Writes bytes; resolves when more may be written. */
  write: Write;
  /** Aborted when the job has ended; unread input stays unread. */
  signal: AbortSignal;
}

/** Options of {@linkcode writeJob}. */
export interface WriteJobOptions extends WriteJobHeadOptions, WriteStdinOptions {}

/** Writes a whole job; rejects if its process has ended. */
export async function writeJob(job: ExecutorJob, options: WriteJobOptions): Promise<void> {
  const out = new WriteCoalescer(options.write);
  await putHead(job, out, options.module);
  await putStdin(job, out, options.signal);
}

/**
 * Writes a job without its standard input, possibly before the process has started; rejects if the process has
 * ended.
 */
export async function writeJobHead(job: ExecutorJob, options: WriteJobHeadOptions): Promise<void> {
  const out = new WriteCoalescer(options.write);
  await putHead(job, out, options.module);
  await out.flush();
}

/** Writes the standard input of a job after {@linkcode writeJobHead}; rejects if the process has ended. */
export async function writeStdin(job: ExecutorJob, options: WriteStdinOptions): Promise<void> {
  await putStdin(job, new WriteCoalescer(options.write), options.signal);
}

/** Coalesces small writes. */
class WriteCoalescer {
  readonly write: Write;
  #parts: Uint8Array[] = [];
  #bytes = 0;

  constructor(write: Write) {
    this.write = write;
  }

  /** Adds bytes, which must not change before the next flush. */
  async put(part: Uint8Array): Promise<void> {
    if (this.#bytes + part.length > COALESCED_BYTES) await this.flush();
    // A large part is written without a copy.
    if (part.length > COALESCED_BYTES) return await this.write(part);
    this.#parts.push(part);
    this.#bytes += part.length;
  }

  /** Writes what has been added. */
  async flush(): Promise<void> {
    if (this.#bytes === 0) return;
    const whole = this.#parts.length === 1 ? this.#parts[0]! : joinBytes(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    await this.write(whole);
  }
}

async function putHead(job: ExecutorJob, out: WriteCoalescer, module: ModuleHeader): Promise<void> {
  const inputs = job.inputs ?? [];
  const isReordered = !module.isCached && job.reordered !== undefined;
  const header: JobHeader = {
    module,
    isReordered,
    args: [...job.args],
    env: { ...job.env },
    limits: job.limits,
    inputs: inputs.map(({ path, data }) => ({ path, file: data !== undefined })),
    isWarmUp: job.isWarmUp ?? false,
  };
  const putFrame = async (kind: number, payload: Uint8Array): Promise<void> => {
    await out.put(encodeIpcHeader(kind, payload.length));
    await out.put(payload);
  };
  await out.put(encodeIpcJson(FrameKind.Job, header));
  if (!module.isCached) await putFrame(FrameKind.Module, job.module);
  if (isReordered) await putFrame(FrameKind.Reordered, job.reordered!);
  for (const { data } of inputs) {
    if (data !== undefined) await putFrame(FrameKind.Input, data);
  }
}

async function putStdin(job: ExecutorJob, out: WriteCoalescer, signal: AbortSignal): Promise<void> {
  // A stream may pause at any time, so its chunks are written at once.
  const isStream = job.stdin instanceof ReadableStream;
  if (isStream) await out.flush();
  const write: Write = isStream ? out.write : (part) => out.put(part);
  await writeStdinFrames(job.stdin, { write, signal });
  await out.put(encodeIpcFrame(FrameKind.StdinEnd));
  await out.flush();
}

/** Writes bytes or a stream as Stdin frames, until the input or the job ends. */
export async function writeStdinFrames(
  source: ReadableStream<Uint8Array> | Uint8Array | undefined,
  options: WriteStdinOptions,
): Promise<void> {
  if (source === undefined) return;
  if (source instanceof Uint8Array) return await writeStdinBytes(source, options);
  const { signal } = options;
  const reader = source.getReader();
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => {
    aborted.resolve();
    // A source such as a terminal may never yield another chunk: cancelling ends the pending read.
    reader.cancel().catch(() => {});
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const frames = new StdinFrameWriter(options);
  try {
    while (!signal.aborted) {
      const { done, value } = await reader.read();
      if (done) break;
      await frames.write(value);
      if (value instanceof HeadroomBuffer) value.release();
    }
    // The source ended within a frame. The guest must not read the filler as input: wait for the job's end.
    if (!frames.isComplete) await aborted.promise;
    await frames.fill();
  } finally {
    signal.removeEventListener("abort", onAbort);
    reader.releaseLock();
  }
}

/** Writes chunks of a stream as frames. */
class StdinFrameWriter {
  readonly #options: WriteStdinOptions;
  readonly #start = new FrameWriter();
  /** Bytes missing of the current frame. */
  #frameLeft = 0;

  constructor(options: WriteStdinOptions) {
    this.#options = options;
  }

  /** Whether no frame is incomplete. */
  get isComplete(): boolean {
    return this.#frameLeft === 0;
  }

  /** Writes a chunk. Further chunks that its source has announced become part of the same frame. */
  async write(bytes: Uint8Array): Promise<void> {
    const { write, signal } = this.#options;
    for (let at = 0; at < bytes.length && !signal.aborted;) {
      const rest = at === 0 ? bytes : bytes.subarray(at);
      if (this.#frameLeft > 0) {
        const part = rest.length <= this.#frameLeft ? rest : rest.subarray(0, this.#frameLeft);
        await write(part);
        this.#frameLeft -= part.length;
        at += part.length;
        continue;
      }
      const more = bytes instanceof HeadroomBuffer ? bytes.more : 0;
      const length = Math.min(rest.length + more, MAX_STDIN_BYTES);
      const part = rest.length <= length ? rest : rest.subarray(0, length);
      const [first, after] = this.#start.cut(part, { kind: FrameKind.Stdin, length });
      await write(first);
      if (after.length > 0) await write(after);
      this.#frameLeft = length - part.length;
      at += part.length;
    }
  }

  /** Completes the current frame. */
  async fill(): Promise<void> {
    while (this.#frameLeft > 0) {
      const part = FILLER.subarray(0, this.#frameLeft);
      await this.#options.write(part);
      this.#frameLeft -= part.length;
    }
  }
}

async function writeStdinBytes(bytes: Uint8Array, options: WriteStdinOptions): Promise<void> {
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
