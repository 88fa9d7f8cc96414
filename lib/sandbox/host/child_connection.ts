/**
 * Connects the parent to a child process: writes jobs to it and reads its frames.
 *
 * The connection is a Unix socket, otherwise the pipes of the child's standard streams. Sockets carry several times the
 * throughput of pipes (docs/adr/0007).
 *
 * @module
 */
import {
  BufferPool,
  buildFrame,
  concat,
  encodeFrameHeader,
  FrameReader,
  FrameWriter,
  HeadroomBuffer,
  toHex,
  writeAll,
} from "../../util/mod.ts";
import { SOCKET_NAME } from "./spawn/mod.ts";
import {
  checkIpcHeader,
  CHILD_FRAMES,
  encodeIpcJson,
  FrameKind,
  type IpcFrame,
  type JobHeader,
  MAX_STDIN_BYTES,
  type ModuleHeader,
} from "../ipc/mod.ts";
import type { ExecutorJob } from "../job_types.ts";

/** Longest path that Linux accepts for a Unix socket: sizeof(sun_path) minus the terminating NUL. */
const MAX_SOCKET_PATH_BYTES = 107;

/** Kinds of frames that are read in parts. */
const OUTPUT_KINDS: readonly number[] = [FrameKind.Stdout, FrameKind.Stderr, FrameKind.Files];

/** Random bytes in the name of a listener's directory. */
const NAME_BYTES = 8;

/**
 * One-shot Unix socket listener for a child process.
 *
 * Each listener has its own directory of mode 0700, which is removed after the first connection, so that no other
 * process can impersonate the child. The daemon places it in a directory that is masked from executors: not even
 * another executor that has escaped its sandbox finds the socket.
 */
export class ChildListener {
  /** Directory that contains the socket only. */
  readonly dir: string;
  readonly #listener: Deno.UnixListener;
  #isOpen = true;

  private constructor(dir: string, listener: Deno.UnixListener) {
    this.dir = dir;
    this.#listener = listener;
  }

  /**
   * Creates a directory in `parentDir`, which is created if missing, and starts listening.
   *
   * @returns `undefined` if the path exceeds {@linkcode MAX_SOCKET_PATH_BYTES} or cannot be created; the caller
   * then uses pipes
   */
  static open(parentDir: string): ChildListener | undefined {
    const name = toHex(crypto.getRandomValues(new Uint8Array(NAME_BYTES)));
    const dir = `${parentDir}/${name}`;
    const path = `${dir}/${SOCKET_NAME}`;
    if (new TextEncoder().encode(path).length > MAX_SOCKET_PATH_BYTES) return undefined;
    try {
      Deno.mkdirSync(dir, { recursive: true, mode: 0o700 });
      return new ChildListener(dir, Deno.listen({ transport: "unix", path }));
    } catch {
      removeDir(dir);
      return undefined;
    }
  }

  /** Waits for the child and closes the listener. Resolves to `undefined` if the listener is closed first. */
  async accept(): Promise<Deno.UnixConn | undefined> {
    try {
      return await this.#listener.accept();
    } catch {
      return undefined;
    } finally {
      this.close();
    }
  }

  /** Stops listening and removes the directory. Safe to call twice. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#listener.close();
    removeDir(this.dir);
  }
}

function removeDir(dir: string): void {
  try {
    Deno.removeSync(dir, { recursive: true });
  } catch {
    // It was not created, or its parent has been removed.
  }
}

/** Reads frames from a child process and writes bytes to it. */
export class ChildConnection {
  /** Pool of the buffers that output is read into from a socket; a part of it is a view of one. */
  readonly buffers: BufferPool = new BufferPool();
  readonly #listener: ChildListener | undefined;
  readonly #stdin: WritableStreamDefaultWriter<Uint8Array>;
  readonly #stdout: ReadableStreamDefaultReader<Uint8Array>;
  readonly #frames = new FrameReader({ read: () => this.#read() });
  #kind = 0;
  #isConnected = false;
  #conn: Deno.Conn | undefined;

  /** Connects to a child; `listener` is the one that it was started with, if any. */
  constructor(child: Deno.ChildProcess, listener: ChildListener | undefined) {
    this.#listener = listener;
    this.#stdin = child.stdin.getWriter();
    this.#stdout = child.stdout.getReader();
    if (listener !== undefined) child.status.then(() => listener.close());
  }

  /**
   * Writes bytes, after the first frame from the child if it has a listener. The caller may reuse their memory when
   * this resolves.
   *
   * @throws {Error} if the process has ended
   */
  async write(bytes: Uint8Array): Promise<void> {
    const conn = this.#conn;
    if (conn === undefined) return await this.#stdin.write(bytes);
    await writeAll(conn, bytes);
  }

  /**
   * Reads the next frame, or a part of a Stdout, Stderr or Files frame, which is valid until the next call. Resolves to
   * `undefined` when the process has ended.
   *
   * @throws {PlasmError} `executor` for a frame that is not allowed
   */
  async next(): Promise<IpcFrame | undefined> {
    const frames = this.#frames;
    if (frames.left === 0) {
      const header = await frames.next();
      if (header === undefined) return undefined;
      checkIpcHeader(header, CHILD_FRAMES);
      this.#kind = header.kind;
    }
    const kind = this.#kind;
    const isOutput = OUTPUT_KINDS.includes(kind);
    const payload = await (isOutput ? frames.part() : frames.payload());
    return payload && { kind, payload };
  }

  /** Closes the connection after the process has ended. */
  async close(): Promise<void> {
    this.#listener?.close();
    try {
      this.#conn?.close();
    } catch {
      // It is closed already.
    }
    await Promise.allSettled([this.#stdin.close(), this.#stdout.cancel()]);
  }

  #read(): Promise<Uint8Array | undefined> {
    if (!this.#isConnected) return this.#connect();
    if (this.#conn !== undefined) return this.buffers.read(this.#readConn);
    return this.#stdout.read().then(({ value }) => value);
  }

  /** Waits for the child to connect to the socket, or to write to its standard output if it cannot. */
  async #connect(): Promise<Uint8Array | undefined> {
    const first = this.#stdout.read();
    const piped = first.then(() => undefined);
    const listener = this.#listener;
    this.#conn = await (listener === undefined ? piped : Promise.race([piped, listener.accept()]));
    this.#listener?.close();
    this.#isConnected = true;
    return this.#conn === undefined ? (await first).value : await this.#read();
  }

  /** A killed process resets the connection. */
  #readConn = (into: Uint8Array): Promise<number | null> =>
    this.#conn!.read(into).catch(() => null);
}

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
    const whole = this.#parts.length === 1 ? this.#parts[0]! : concat(this.#parts);
    this.#parts = [];
    this.#bytes = 0;
    await this.write(whole);
  }
}

/** The guest's argv[0] if the job names none: the same on every node, because it can affect the guest's output. */
const DEFAULT_ARGV0 = "main.wasm";

async function putHead(job: ExecutorJob, out: WriteCoalescer, module: ModuleHeader): Promise<void> {
  const inputs = job.inputs ?? [];
  const isReordered = !module.isCached && job.reordered !== undefined;
  const header: JobHeader = {
    module,
    isReordered,
    argv0: job.argv0 ?? DEFAULT_ARGV0,
    invocation: job.invocation ?? null,
    args: [...job.args],
    env: { ...job.env },
    limits: job.limits,
    outputs: job.outputs ?? [],
    inputs: inputs.map(({ data, ...input }) => ({ ...input, file: data !== undefined })),
    deterministic: job.deterministic === undefined ? null : {
      seed: toHex(job.deterministic.seed),
      epochMs: job.deterministic.epochMs,
    },
    isWarmUp: job.isWarmUp ?? false,
  };
  const putFrame = async (kind: number, payload: Uint8Array): Promise<void> => {
    await out.put(encodeFrameHeader(kind, payload.length));
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
  await out.put(buildFrame(FrameKind.StdinEnd));
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
      await options.write(buildFrame(FrameKind.Stdin, part));
      continue;
    }
    await options.write(encodeFrameHeader(FrameKind.Stdin, part.length));
    await options.write(part);
  }
}
