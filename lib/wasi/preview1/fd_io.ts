/**
 * Implements the calls that read and write descriptors: `fd_read`, `fd_pread`, `fd_write`, `fd_pwrite`.
 *
 * @module
 */
import { ERRNO, FDFLAG, IOVEC_SIZE, RIGHT } from "../abi.ts";
import { fillRandom, type WasiContext, type WasiFunctions } from "./call_context.ts";
import type { DeviceDescriptor, FileDescriptor, StreamDescriptor } from "./fd_table.ts";
import { checkIovecs } from "./guest_memory.ts";

/** Returns the functions that read and write descriptors. */
export function fdIo(context: WasiContext): WasiFunctions {
  const { memory, fds } = context;
  const writer = new StreamWriter(context);

  return {
    fd_read(fd: number, iovs: number, count: number, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      // read(2) and wasmtime return EBADF for a descriptor that is not open for reading.
      if ((descriptor.rights & RIGHT.FD_READ) === 0) return ERRNO.BADF;
      const errno = check(context, iovs, count, result);
      if (errno !== 0) return errno;
      if (descriptor.kind === "stdin") {
        return readStdin(context, descriptor, { iovs: iovs >>> 0, count, result: result >>> 0 });
      }
      if (descriptor.kind === "device") {
        const done = readDevice(context, descriptor, { iovs: iovs >>> 0, count });
        memory.view.setUint32(result >>> 0, done, true);
        return 0;
      }
      if (descriptor.kind !== "file") return ERRNO.BADF;
      const done = readFile(context, descriptor, {
        iovs: iovs >>> 0,
        count,
        at: descriptor.offset,
      });
      descriptor.offset += done;
      memory.view.setUint32(result >>> 0, done, true);
      return 0;
    },

    fd_pread(fd: number, iovs: number, count: number, offset: bigint, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_READ) === 0) return ERRNO.BADF;
      if (descriptor.kind !== "file" && descriptor.kind !== "device") return ERRNO.SPIPE;
      const errno = check(context, iovs, count, result);
      if (errno !== 0) return errno;
      const at = Number(offset);
      if (!Number.isSafeInteger(at) || at < 0) return ERRNO.INVAL;
      const done = descriptor.kind === "device"
        ? readDevice(context, descriptor, { iovs: iovs >>> 0, count })
        : readFile(context, descriptor, { iovs: iovs >>> 0, count, at });
      memory.view.setUint32(result >>> 0, done, true);
      return 0;
    },

    fd_write(fd: number, iovs: number, count: number, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_WRITE) === 0) return ERRNO.BADF;
      const errno = check(context, iovs, count, result);
      if (errno !== 0) return errno;
      if (descriptor.kind === "stdout" || descriptor.kind === "stderr") {
        const done = writer.write(descriptor.kind, iovs >>> 0, count);
        memory.view.setUint32(result >>> 0, done, true);
        return 0;
      }
      if (descriptor.kind === "device") {
        return writeDevice(context, descriptor, { iovs: iovs >>> 0, count, result: result >>> 0 });
      }
      if (descriptor.kind !== "file") return ERRNO.BADF;
      const append = (descriptor.flags & FDFLAG.APPEND) !== 0;
      const at = append ? descriptor.inode.content.size : descriptor.offset;
      const done = writeFile(context, descriptor, { iovs: iovs >>> 0, count, at });
      if (done < 0) return -done;
      descriptor.offset = at + done;
      memory.view.setUint32(result >>> 0, done, true);
      return 0;
    },

    fd_pwrite(fd: number, iovs: number, count: number, offset: bigint, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_WRITE) === 0) return ERRNO.BADF;
      if (descriptor.kind !== "file" && descriptor.kind !== "device") return ERRNO.SPIPE;
      const errno = check(context, iovs, count, result);
      if (errno !== 0) return errno;
      const position = Number(offset);
      if (!Number.isSafeInteger(position) || position < 0) return ERRNO.INVAL;
      if (descriptor.kind === "device") {
        return writeDevice(context, descriptor, { iovs: iovs >>> 0, count, result: result >>> 0 });
      }
      // FDFLAG.APPEND takes precedence over the offset, as on Linux and in wasmtime.
      const append = (descriptor.flags & FDFLAG.APPEND) !== 0;
      const at = append ? descriptor.inode.content.size : position;
      const done = writeFile(context, descriptor, { iovs: iovs >>> 0, count, at });
      if (done < 0) return -done;
      memory.view.setUint32(result >>> 0, done, true);
      return 0;
    },
  };
}

/** Checks the result pointer and the iovecs of a call; returns an errno. */
function check({ memory }: WasiContext, iovs: number, count: number, result: number): number {
  if (!memory.ok(result >>> 0, 4)) return ERRNO.FAULT;
  return checkIovecs(memory, iovs >>> 0, count >>> 0);
}

/** Iovec list that was bounds-checked. Reads may overwrite the list, so they check each buffer again. */
interface Buffers {
  /** Address of the list. */
  iovs: number;
  /** Number of buffers. */
  count: number;
}

/** Reads standard input until a buffer is not filled. */
function readStdin(
  { memory, host, clocks, use }: WasiContext,
  descriptor: StreamDescriptor,
  { iovs, count, result }: Buffers & { result: number },
): number {
  const isNonBlocking = (descriptor.flags & FDFLAG.NONBLOCK) !== 0;
  // How much a blocking read returns depends on time too, but only a program that misuses streams depends on that.
  if (isNonBlocking) use("poll");
  let done = 0;
  for (let at = iovs; at < iovs + count * IOVEC_SIZE; at += IOVEC_SIZE) {
    const pointer = memory.view.getUint32(at, true);
    const length = memory.view.getUint32(at + 4, true);
    if (length === 0) continue;
    if (!memory.ok(pointer, length)) break;
    const ready = host.stdinReady();
    if (ready.bytes === 0) {
      if (done > 0) break;
      if (!ready.ended && isNonBlocking) return ERRNO.AGAIN;
    }
    const buffer = memory.bytes.subarray(pointer, pointer + length);
    const got = ready.bytes > 0
      ? host.readStdin(buffer)
      : clocks.blocked(() => host.readStdin(buffer));
    done += got;
    if (got < length) break;
  }
  memory.view.setUint32(result, done, true);
  return 0;
}

function readFile(
  { memory }: WasiContext,
  { inode }: FileDescriptor,
  { iovs, count, at }: Buffers & { at: number },
): number {
  let done = 0;
  for (let iov = iovs; iov < iovs + count * IOVEC_SIZE; iov += IOVEC_SIZE) {
    const pointer = memory.view.getUint32(iov, true);
    const length = memory.view.getUint32(iov + 4, true);
    if (!memory.ok(pointer, length)) break;
    const got = inode.content.read(at + done, memory.bytes, pointer, length);
    done += got;
    if (got < length) break;
  }
  return done;
}

/** Reads a device and returns the number of bytes. */
function readDevice(
  context: WasiContext,
  { inode: { device } }: DeviceDescriptor,
  { iovs, count }: Buffers,
): number {
  const { memory } = context;
  if (device === "null") return 0;
  let done = 0;
  for (let iov = iovs; iov < iovs + count * IOVEC_SIZE; iov += IOVEC_SIZE) {
    const pointer = memory.view.getUint32(iov, true);
    const length = memory.view.getUint32(iov + 4, true);
    if (!memory.ok(pointer, length)) break;
    if (device === "random" || device === "urandom") fillRandom(context, pointer, length);
    else memory.bytes.fill(0, pointer, pointer + length);
    done += length;
  }
  return done;
}

/** Discards what is written to a device; a full device accepts nothing. */
function writeDevice(
  { memory }: WasiContext,
  { inode: { device } }: DeviceDescriptor,
  { iovs, count, result }: Buffers & { result: number },
): number {
  let done = 0;
  for (let iov = iovs; iov < iovs + count * IOVEC_SIZE; iov += IOVEC_SIZE) {
    done += memory.view.getUint32(iov + 4, true);
  }
  if (device === "full" && done > 0) return ERRNO.NOSPC;
  memory.view.setUint32(result, done, true);
  return 0;
}

/** Returns the number of bytes written, or a negative errno if there are none. */
function writeFile(
  { memory, fs }: WasiContext,
  { inode }: FileDescriptor,
  { iovs, count, at }: Buffers & { at: number },
): number {
  let done = 0;
  for (let iov = iovs; iov < iovs + count * IOVEC_SIZE; iov += IOVEC_SIZE) {
    const pointer = memory.view.getUint32(iov, true);
    const length = memory.view.getUint32(iov + 4, true);
    const errno = fs.write(inode, at + done, memory.bytes, pointer, length);
    if (errno !== 0) return done > 0 ? done : -errno;
    done += length;
  }
  return done;
}

/**
 * Largest write that is copied into one buffer. C's stdio writes its buffer and the caller's bytes as two iovecs;
 * joining short ones halves the number of host calls, long ones are not worth the copy.
 */
const JOIN_BYTES = 4096;

/** Writes iovecs to standard output or standard error. */
export class StreamWriter {
  #context: WasiContext;
  /** Created on first use: many jobs never write several buffers at once. */
  #joined: Uint8Array | undefined;

  constructor(context: WasiContext) {
    this.#context = context;
  }

  /** Writes all buffers and returns the number of bytes. Exceptions of the host pass through. */
  write(stream: "stdout" | "stderr", iovs: number, count: number): number {
    const { memory, host } = this.#context;
    let done = 0;
    let held = 0;
    let joined: Uint8Array | undefined;
    for (let at = iovs; at < iovs + count * IOVEC_SIZE; at += IOVEC_SIZE) {
      const pointer = memory.view.getUint32(at, true);
      const length = memory.view.getUint32(at + 4, true);
      if (length === 0) continue;
      if (count > 1 && held + length <= JOIN_BYTES) {
        joined ??= this.#joined ??= new Uint8Array(JOIN_BYTES);
        joined.set(memory.bytes.subarray(pointer, pointer + length), held);
        held += length;
      } else {
        if (held > 0) host.write(stream, joined!.subarray(0, held));
        held = 0;
        host.write(stream, memory.bytes.subarray(pointer, pointer + length));
      }
      done += length;
    }
    if (held > 0) host.write(stream, joined!.subarray(0, held));
    return done;
  }
}
