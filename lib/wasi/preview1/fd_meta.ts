/**
 * What a descriptor is: `fd_fdstat_*`, `fd_filestat_*`, closing and renumbering.
 * @module
 */
import {
  ALL_FDFLAGS,
  ALL_RIGHTS,
  ERRNO,
  FDSTAT_SIZE,
  FILESTAT_SIZE,
  FILETYPE,
  RIGHT,
} from "./abi.ts";
import type { WasiContext, WasiFunctions } from "./call_context.ts";
import type { Descriptor } from "./fd_table.ts";
import { setTimes, writeFilestat, writeStreamFilestat } from "./filestat.ts";

/** The functions about descriptors themselves. */
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

    // The target must be open (the witx says so to keep two libraries from racing for a number).
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
      // Rights can only be given away.
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
      if (descriptor.kind !== "file") return ERRNO.BADF;
      if ((descriptor.rights & RIGHT.FD_FILESTAT_SET_SIZE) === 0) return ERRNO.NOTCAPABLE;
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

/** The defined bits of `$rights`; others mean nothing and are dropped. */
export function rightsOf(rights: bigint): number {
  return Number(BigInt.asUintN(32, rights)) & ALL_RIGHTS;
}
