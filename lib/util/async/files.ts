/**
 * Reads and writes files of the host that may never respond, such as named pipes without another end.
 *
 * Deno 2.7 opens files in the main thread, which a named pipe blocks until its other end is opened, and newer versions in
 * a thread that cannot be interrupted. Named pipes are therefore opened without blocking, and polled.
 *
 * @module
 */
import npmDelay from "delay";
import { raceSignal } from "race-signal";

/** Size of one read, in bytes. */
const READ_BYTES = 64 * 1024;

/** Time for which a directory that has responded is expected to do so again, in milliseconds. */
const RESPONSIVE_MS = 1000;

/** Size of one write to a pipe, in bytes: PIPE_BUF, up to which the pipe accepts all bytes or none. */
const WRITE_BYTES = 4096;

/** Delay before a pipe that was not ready is tried again, in milliseconds. It doubles up to the maximum. */
const MIN_POLL_MS = 1;

/** Longest delay between attempts, in milliseconds. */
const MAX_POLL_MS = 50;

/** Options of {@linkcode readFile}. */
export interface ReadFileOptions {
  /** Ends the wait for the file and its content. @default {none} */
  signal?: AbortSignal | undefined;
  /** Receives the content in parts, each valid until it returns. Throw to stop reading. */
  onChunk: (chunk: Uint8Array) => void | Promise<void>;
  /** Called once with the size and kind of the file, before it is read. Throw to refuse it. @default {none} */
  onOpen?: ((info: Deno.FileInfo) => void) | undefined;
}

/**
 * Reads a file in parts, without relying on its size: a pipe has none, and a file may grow while it is read. Waits for
 * the writer of a named pipe.
 *
 * @throws The signal's reason; an error of the file system; what a callback throws
 */
export async function readFile(path: string, options: ReadFileOptions): Promise<void> {
  const { signal, onOpen } = options;
  const info = await statFile(path, signal);
  onOpen?.(info);
  if (await isNamedPipe(path, info)) return await readNamedPipe(path, options);
  // Files below /proc, whose reads may block, have no size.
  if (info.isFile && info.size > 0 && info.size <= READ_BYTES) {
    return await readSmallFile(path, info.size, options);
  }
  return await readRest(await Deno.open(path), options);
}

/** Directory of the file that was read last, and until when its file system is expected to respond at once. */
let responsive = { directory: "", until: 0 };

/**
 * Reads the status of a file, in this thread if its directory has just responded: asking another thread takes longer than
 * reading a small file. A link may lead to another file system.
 */
async function statFile(path: string, signal: AbortSignal | undefined): Promise<Deno.FileInfo> {
  const directory = path.slice(0, path.lastIndexOf("/") + 1);
  const isResponsive = directory === responsive.directory && performance.now() < responsive.until;
  const own = isResponsive ? Deno.lstatSync(path) : undefined;
  const info = own === undefined || own.isSymlink ? await raceSignal(Deno.stat(path), signal) : own;
  responsive = { directory, until: performance.now() + RESPONSIVE_MS };
  return info;
}

/**
 * Reads a small file of a file system that has just responded in this thread: for each operation in another one, two
 * threads must wake.
 */
async function readSmallFile(
  path: string,
  size: number,
  options: ReadFileOptions,
): Promise<void> {
  const file = Deno.openSync(path);
  let isOpen = true;
  try {
    // One byte more, to see the end.
    const buffer = new Uint8Array(size + 1);
    let length = 0;
    let count: number | null = 0;
    while (length < buffer.length && (count = file.readSync(buffer.subarray(length))) !== null) {
      length += count;
    }
    if (length > 0) await options.onChunk(buffer.subarray(0, length));
    if (count === null) return;
    // It has grown.
    isOpen = false;
    await readRest(file, options);
  } finally {
    if (isOpen) file.close();
  }
}

/** Reads an open file to its end and closes it. */
async function readRest(
  file: Deno.FsFile,
  { signal, onChunk }: ReadFileOptions,
): Promise<void> {
  let reading: Promise<number | null> | undefined;
  // Not `using`: a file is closed only after its pending read.
  try {
    for (const buffer = new Uint8Array(READ_BYTES);;) {
      reading = file.read(buffer);
      const count = await raceSignal(reading, signal);
      reading = undefined;
      if (count === null) return;
      await onChunk(buffer.subarray(0, count));
    }
  } finally {
    const close = (): void => file.close();
    if (reading === undefined) close();
    else reading.then(close, close);
  }
}

/** Options of {@linkcode writeFile}. */
export interface WriteFileOptions {
  /** Ends the wait for the reader of a named pipe. @default {none} */
  signal?: AbortSignal | undefined;
}

/**
 * Writes to a file that is not replaced, such as a device. Waits for the reader of a named pipe.
 *
 * @throws The signal's reason; an error of the file system
 */
export async function writeFile(
  path: string,
  bytes: Uint8Array,
  { signal }: WriteFileOptions = {},
): Promise<void> {
  const info = await raceSignal(Deno.stat(path), signal);
  if (await isNamedPipe(path, info)) return await writeNamedPipe(path, bytes, signal);
  await raceSignal(Deno.writeFile(path, bytes), signal);
}

/** Reports whether opening a file may block: an anonymous pipe, such as /dev/fd/63, is open already and has no path. */
async function isNamedPipe(path: string, { isFifo }: Deno.FileInfo): Promise<boolean> {
  if (isFifo !== true) return false;
  try {
    await Deno.realPath(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Reports whether a path is a pipe, which a synchronous call must not open: it would block signals too. */
export function isPipe(path: string): boolean {
  try {
    return Deno.statSync(path).isFifo === true;
  } catch {
    return false; // opening it reports the reason
  }
}

async function readNamedPipe(
  path: string,
  { signal, onChunk }: ReadFileOptions,
): Promise<void> {
  const { closeSync, constants, openSync, readSync } = await import("node:fs");
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    // Without a writer a read returns 0 bytes, as it does after the last writer has closed the pipe.
    let hasWriter = false;
    let pause = MIN_POLL_MS;
    for (const buffer = new Uint8Array(READ_BYTES);;) {
      const count = orNotReady(["EAGAIN"], () => readSync(fd, buffer));
      if (count === 0 && hasWriter) return;
      hasWriter ||= count !== 0;
      if (count === undefined || count === 0) {
        pause = await poll(pause, signal);
        continue;
      }
      pause = MIN_POLL_MS;
      signal?.throwIfAborted();
      await onChunk(buffer.subarray(0, count));
    }
  } finally {
    closeSync(fd);
  }
}

async function writeNamedPipe(
  path: string,
  bytes: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<void> {
  const { closeSync, constants, openSync, writeSync } = await import("node:fs");
  let fd: number | undefined;
  let pause = MIN_POLL_MS;
  try {
    for (let at = 0; at < bytes.length;) {
      // Without a reader opening fails with ENXIO.
      fd ??= orNotReady(
        ["ENXIO"],
        () => openSync(path, constants.O_WRONLY | constants.O_NONBLOCK),
      );
      const target = fd;
      const count = target === undefined
        ? undefined
        : orNotReady(["EAGAIN"], () => writeSync(target, bytes.subarray(at, at + WRITE_BYTES)));
      if (count === undefined) pause = await poll(pause, signal);
      else at += count;
    }
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Runs a system call; undefined if it failed because the other end is missing or not ready. */
function orNotReady(codes: readonly string[], call: () => number): number | undefined {
  try {
    return call();
  } catch (error) {
    if (codes.includes(String((error as { code?: unknown }).code))) return undefined;
    throw error;
  }
}

/** Waits before the next attempt. Returns the delay after it. */
async function poll(ms: number, signal: AbortSignal | undefined): Promise<number> {
  signal?.throwIfAborted();
  await npmDelay(ms, signal === undefined ? {} : { signal });
  return Math.min(2 * ms, MAX_POLL_MS);
}
