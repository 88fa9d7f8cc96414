/**
 * `path_filestat_*` and `path_readlink`.
 * @module
 */
import { ERRNO, FILESTAT_SIZE, FILETYPE, LOOKUP_SYMLINK_FOLLOW, RIGHT } from "./abi.ts";
import { directoryOf, lookUp, type WasiContext, type WasiFunctions } from "./call_context.ts";
import { setTimes, writeFilestat } from "./filestat.ts";
import type { Inode } from "../fs/inode.ts";

interface PathArguments {
  fd: number;
  flags: number;
  pointer: number;
  length: number;
  right: number;
}

/** The functions that ask about a path or set its times. */
export function pathStat(context: WasiContext): WasiFunctions {
  const { memory } = context;

  /** What the path leads to; an error number if nothing. */
  function find({ fd, flags, pointer, length, right }: PathArguments): Inode | number {
    const through = directoryOf(context, fd, right);
    if (typeof through === "number") return through;
    const lastLink = (flags & LOOKUP_SYMLINK_FOLLOW) !== 0 ? "follow" : "slash";
    const errno = lookUp(context, through, { pointer, length, lastLink });
    return errno !== 0 ? errno : context.lookup.inode ?? ERRNO.NOENT;
  }

  return {
    path_filestat_get(
      fd: number,
      flags: number,
      pointer: number,
      length: number,
      result: number,
    ): number {
      const inode = find({ fd, flags, pointer, length, right: RIGHT.PATH_FILESTAT_GET });
      if (typeof inode === "number") return inode;
      if (!memory.ok(result >>> 0, FILESTAT_SIZE)) return ERRNO.FAULT;
      writeFilestat(context, result >>> 0, inode);
      return 0;
    },

    path_filestat_set_times(
      fd: number,
      flags: number,
      pointer: number,
      length: number,
      atim: bigint,
      mtim: bigint,
      times: number,
    ): number {
      const inode = find({ fd, flags, pointer, length, right: RIGHT.PATH_FILESTAT_SET_TIMES });
      if (typeof inode === "number") return inode;
      return setTimes(context, inode, { atim, mtim, flags: times });
    },

    path_readlink(
      fd: number,
      pointer: number,
      length: number,
      buffer: number,
      capacity: number,
      result: number,
    ): number {
      const inode = find({ fd, flags: 0, pointer, length, right: RIGHT.PATH_READLINK });
      if (typeof inode === "number") return inode;
      if (inode.type !== FILETYPE.SYMBOLIC_LINK) return ERRNO.INVAL;
      const count = Math.min(inode.targetBytes.length, capacity >>> 0);
      if (!memory.ok(buffer >>> 0, capacity >>> 0) || !memory.ok(result >>> 0, 4)) {
        return ERRNO.FAULT;
      }
      memory.bytes.set(inode.targetBytes.subarray(0, count), buffer >>> 0);
      memory.view.setUint32(result >>> 0, count, true);
      return 0;
    },
  };
}
