/**
 * Implements the calls on descriptors other than reading and writing: state and rights, position, size, directories.
 *
 * @module
 */
import {
  ALL_FDFLAGS,
  DIRENT_SIZE,
  ERRNO,
  FDSTAT_SIZE,
  FILESTAT_SIZE,
  MAX_ADVICE,
  PRESTAT_SIZE,
  RIGHT,
  rightsOf,
  WHENCE,
} from "../abi.ts";
import { FILETYPE } from "../fs/inode.ts";
import { MAX_NAME_BYTES } from "../fs/path_lookup.ts";
import {
  type WasiContext,
  type WasiFunctions,
  writeFilestat,
  writeStreamFilestat,
} from "./call_context.ts";
import { setTimes } from "../job_system.ts";
import type { Descriptor, DeviceDescriptor, FileDescriptor } from "./fd_table.ts";

/** Returns the functions that close, renumber and describe descriptors. */
export function fdMeta(context: WasiContext): WasiFunctions {
  const { memory, fds, fs } = context;
  const release = (descriptor: Descriptor) => {
    if ("inode" in descriptor) fs.release(descriptor.inode);
  };

  return {
    fd_close(fd: number): number {
      const descriptor = fds.remove(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      release(descriptor);
      return 0;
    },

    // The target must be open: the witx requires it so that two libraries cannot race for a number.
    fd_renumber: (from: number, to: number): number => fds.renumber(from >>> 0, to >>> 0, release),

    fd_fdstat_get(fd: number, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      const at = result >>> 0;
      if (!memory.ok(at, FDSTAT_SIZE)) return ERRNO.FAULT;
      memory.setU64(at, "inode" in descriptor ? descriptor.inode.type : FILETYPE.UNKNOWN);
      memory.view.setUint16(at + 2, descriptor.flags, true);
      memory.setU64(at + 8, descriptor.rights);
      memory.setU64(at + 16, descriptor.inheriting);
      return 0;
    },

    fd_fdstat_set_flags(fd: number, flags: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if ((flags & ~ALL_FDFLAGS) !== 0) return ERRNO.INVAL;
      if ((descriptor.rights & RIGHT.FD_FDSTAT_SET_FLAGS) === 0) return ERRNO.NOTCAPABLE;
      descriptor.flags = flags;
      return 0;
    },

    fd_fdstat_set_rights(fd: number, base: bigint, inheriting: bigint): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      const rights = rightsOf(base);
      const inherited = rightsOf(inheriting);
      // Rights can only be dropped.
      if ((rights & ~descriptor.rights) !== 0) return ERRNO.NOTCAPABLE;
      if ((inherited & ~descriptor.inheriting) !== 0) return ERRNO.NOTCAPABLE;
      descriptor.rights = rights;
      descriptor.inheriting = inherited;
      return 0;
    },

    fd_filestat_get(fd: number, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_FILESTAT_GET) === 0) return ERRNO.NOTCAPABLE;
      if (!memory.ok(result >>> 0, FILESTAT_SIZE)) return ERRNO.FAULT;
      if ("inode" in descriptor) writeFilestat(context, result >>> 0, descriptor.inode);
      else writeStreamFilestat(memory, result >>> 0, descriptor);
      return 0;
    },

    fd_filestat_set_size(fd: number, size: bigint): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if (descriptor.kind === "device") return ERRNO.INVAL;
      if (descriptor.kind !== "file") return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_FILESTAT_SET_SIZE) === 0) return ERRNO.NOTCAPABLE;
      // As ftruncate(2) on a descriptor that is not open for writing.
      if ((descriptor.rights & RIGHT.FD_WRITE) === 0) return ERRNO.INVAL;
      const bytes = Number(size);
      if (bytes < 0) return ERRNO.INVAL;
      return Number.isSafeInteger(bytes) ? fs.resize(descriptor.inode, bytes) : ERRNO.FBIG;
    },

    fd_filestat_set_times(fd: number, atim: bigint, mtim: bigint, flags: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if (!("inode" in descriptor)) return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_FILESTAT_SET_TIMES) === 0) return ERRNO.NOTCAPABLE;
      return setTimes(context, descriptor.inode, { atim, mtim, flags });
    },
  };
}

/** Returns the functions for the position and storage of a file. */
export function fdFile(context: WasiContext): WasiFunctions {
  const { memory, fds, fs } = context;

  return {
    fd_seek(fd: number, delta: bigint, whence: number, result: number): number {
      // Querying the position does not require the right to seek (witx, `fd_tell`).
      const isQuery = whence === WHENCE.CUR && delta === 0n;
      const descriptor = fileOf(
        context,
        fd,
        isQuery ? RIGHT.FD_TELL | RIGHT.FD_SEEK : RIGHT.FD_SEEK,
      );
      if (typeof descriptor === "number") return descriptor;
      if (!memory.ok(result >>> 0, 8)) return ERRNO.FAULT;
      if (descriptor.kind === "device") {
        if (!Object.values<number>(WHENCE).includes(whence)) return ERRNO.INVAL;
        memory.setU64(result >>> 0, 0);
        return 0;
      }
      const start = startOf(descriptor, whence);
      // A double is exact up to 2^53; larger positions are rejected anyway.
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
      memory.setU64(result >>> 0, descriptor.kind === "device" ? 0 : descriptor.offset);
      return 0;
    },

    // Content is always in memory, so advice has no effect.
    fd_advise(fd: number, offset: bigint, length: bigint, advice: number): number {
      const descriptor = fileOf(context, fd, RIGHT.FD_ADVISE);
      if (typeof descriptor === "number") return descriptor;
      if (advice >>> 0 > MAX_ADVICE || offset < 0n || length < 0n) return ERRNO.INVAL;
      return 0;
    },

    fd_allocate(fd: number, offset: bigint, length: bigint): number {
      const descriptor = fileOf(context, fd, RIGHT.FD_ALLOCATE);
      if (typeof descriptor === "number") return descriptor;
      if ((descriptor.rights & RIGHT.FD_WRITE) === 0) return ERRNO.BADF;
      if (descriptor.kind === "device") return ERRNO.NODEV;
      if (offset < 0n || length <= 0n) return ERRNO.INVAL;
      const end = Number(offset + length);
      if (!Number.isSafeInteger(end)) return ERRNO.FBIG;
      return end > descriptor.inode.content.size ? fs.resize(descriptor.inode, end) : 0;
    },

    // No content outlives the job, so there is nothing to flush.
    fd_sync: (fd: number): number => fds.get(fd >>> 0) === undefined ? ERRNO.BADF : 0,
    fd_datasync: (fd: number): number => fds.get(fd >>> 0) === undefined ? ERRNO.BADF : 0,
  };
}

/** Returns an open file or device with any of the given rights, or an errno. A device has no position. */
function fileOf(
  { fds }: WasiContext,
  fd: number,
  rights: number,
): FileDescriptor | DeviceDescriptor | number {
  const descriptor = fds.get(fd >>> 0);
  if (descriptor === undefined) return ERRNO.BADF;
  if (descriptor.kind === "directory") return ERRNO.BADF;
  if (descriptor.kind !== "file" && descriptor.kind !== "device") return ERRNO.SPIPE;
  return (descriptor.rights & rights) === 0 ? ERRNO.NOTCAPABLE : descriptor;
}

/** Base position of a seek; NaN for an unknown `whence`. */
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

// Scratch buffer for one directory entry, which is then copied as far as it fits.
const entryBytes = new Uint8Array(DIRENT_SIZE + MAX_NAME_BYTES);
const entryView = new DataView(entryBytes.buffer);
const nameBytes = entryBytes.subarray(DIRENT_SIZE);
const encoder = new TextEncoder();

/** Returns the functions for open directories and preopens. */
export function fdDir({ memory, fds }: WasiContext): WasiFunctions {
  /** Copies one entry to `at`, truncated at `end`; returns the end of the copy. */
  function put(
    { at, end }: { at: number; end: number },
    entry: { next: number; ino: number; type: number; name: string },
  ): number {
    const { written } = encoder.encodeInto(entry.name, nameBytes);
    entryView.setBigUint64(0, BigInt(entry.next), true);
    entryView.setBigUint64(8, BigInt(entry.ino), true);
    entryView.setUint32(16, written, true);
    entryView.setUint32(20, entry.type, true);
    const length = Math.min(DIRENT_SIZE + written, end - at);
    memory.bytes.set(entryBytes.subarray(0, length), at);
    return at + length;
  }

  return {
    fd_readdir(
      fd: number,
      buffer: number,
      length: number,
      cookie: bigint,
      result: number,
    ): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      // EBADF instead of readdir(3)'s ENOTDIR: other runtimes return it, and guests check for it.
      if (descriptor.kind !== "directory") return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_READDIR) === 0) return ERRNO.NOTCAPABLE;
      const start = buffer >>> 0;
      const end = start + (length >>> 0);
      if (!memory.ok(start, length >>> 0) || !memory.ok(result >>> 0, 4)) return ERRNO.FAULT;

      const { inode } = descriptor;
      // Exact for every cookie issued so far; there are no entries beyond.
      let next = Number(BigInt.asUintN(64, cookie));
      let at = start;
      if (!inode.removed) {
        const type = FILETYPE.DIRECTORY;
        if (next === 0 && at < end) {
          at = put({ at, end }, { next: ++next, ino: inode.ino, type, name: "." });
        }
        if (next === 1 && at < end) {
          at = put({ at, end }, { next: ++next, ino: inode.parent.ino, type, name: ".." });
        }
      }
      const { positions } = inode;
      for (let position = inode.find(next); at < end && position < positions; position++) {
        const found = inode.inodeAt(position);
        if (found === undefined) continue;
        const { ino, type } = found;
        const name = inode.nameAt(position);
        at = put({ at, end }, { next: inode.cookieAt(position) + 1, ino, type, name });
      }
      memory.view.setUint32(result >>> 0, at - start, true);
      return 0;
    },

    fd_prestat_get(fd: number, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor?.kind !== "directory" || descriptor.preopen === undefined) return ERRNO.BADF;
      if (!memory.ok(result >>> 0, PRESTAT_SIZE)) return ERRNO.FAULT;
      // Tag 0 (directory) with padding, then the length of the name.
      memory.view.setUint32(result >>> 0, 0, true);
      memory.view.setUint32((result >>> 0) + 4, descriptor.preopen.length, true);
      return 0;
    },

    fd_prestat_dir_name(fd: number, buffer: number, length: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor?.kind !== "directory" || descriptor.preopen === undefined) return ERRNO.BADF;
      if (length >>> 0 < descriptor.preopen.length) return ERRNO.NAMETOOLONG;
      if (!memory.ok(buffer >>> 0, descriptor.preopen.length)) return ERRNO.FAULT;
      memory.bytes.set(descriptor.preopen, buffer >>> 0);
      return 0;
    },
  };
}
