/**
 * Position and storage of an open file: `fd_seek`, `fd_tell`, `fd_advise`, `fd_allocate`, `fd_sync`.
 * @module
 */
import { ERRNO, MAX_ADVICE, RIGHT, WHENCE } from "./abi.ts";
import type { WasiContext, WasiFunctions } from "./call_context.ts";
import type { FileDescriptor } from "./fd_table.ts";

/** The functions about a file's position and storage. */
export function fdFile(context: WasiContext): WasiFunctions {
  const { memory, fds, fs } = context;

  return {
    fd_seek(fd: number, delta: bigint, whence: number, result: number): number {
      // Asking where one is needs no right to move (witx, `fd_tell`).
      const asks = whence === WHENCE.CUR && delta === 0n;
      const descriptor = fileOf(context, fd, asks ? RIGHT.FD_TELL | RIGHT.FD_SEEK : RIGHT.FD_SEEK);
      if (typeof descriptor === "number") return descriptor;
      if (!memory.ok(result >>> 0, 8)) return ERRNO.FAULT;
      const start = startOf(descriptor, whence);
      // A double is exact up to 2^53, and what is above is refused all the same.
      const position = start + Number(delta);
      if (!(position >= 0 && position <= Number.MAX_SAFE_INTEGER)) return ERRNO.INVAL;
      descriptor.offset = position;
      memory.setU64(result >>> 0, position);
      return 0;
    },

    fd_tell(fd: number, result: number): number {
      const descriptor = fileOf(context, fd, RIGHT.FD_TELL | RIGHT.FD_SEEK);
      if (typeof descriptor === "number") return descriptor;
      if (!memory.ok(result >>> 0, 8)) return ERRNO.FAULT;
      memory.setU64(result >>> 0, descriptor.offset);
      return 0;
    },

    // Content is always in memory: advice changes nothing.
    fd_advise(fd: number, offset: bigint, length: bigint, advice: number): number {
      const descriptor = fileOf(context, fd, RIGHT.FD_ADVISE);
      if (typeof descriptor === "number") return descriptor;
      if (advice >>> 0 > MAX_ADVICE || offset < 0n || length < 0n) return ERRNO.INVAL;
      return 0;
    },

    fd_allocate(fd: number, offset: bigint, length: bigint): number {
      const descriptor = fileOf(context, fd, RIGHT.FD_ALLOCATE);
      if (typeof descriptor === "number") return descriptor;
      if (offset < 0n || length <= 0n) return ERRNO.INVAL;
      const end = Number(offset + length);
      if (!Number.isSafeInteger(end)) return ERRNO.FBIG;
      return end > descriptor.inode.content.size ? fs.resize(descriptor.inode, end) : 0;
    },

    // Nothing outlives the job, so everything is as safe as it will be.
    fd_sync: (fd: number): number => fds.get(fd >>> 0) === undefined ? ERRNO.BADF : 0,
    fd_datasync: (fd: number): number => fds.get(fd >>> 0) === undefined ? ERRNO.BADF : 0,
  };
}

/** An open file with any of the rights; an error number if there is none. */
function fileOf({ fds }: WasiContext, fd: number, rights: number): FileDescriptor | number {
  const descriptor = fds.get(fd >>> 0);
  if (descriptor === undefined) return ERRNO.BADF;
  if (descriptor.kind === "directory") return ERRNO.BADF;
  if (descriptor.kind !== "file") return ERRNO.SPIPE;
  return (descriptor.rights & rights) === 0 ? ERRNO.NOTCAPABLE : descriptor;
}

function startOf(descriptor: FileDescriptor, whence: number): number {
  switch (whence) {
    case WHENCE.SET:
      return 0;
    case WHENCE.CUR:
      return descriptor.offset;
    case WHENCE.END:
      return descriptor.inode.content.size;
  }
  return NaN;
}
