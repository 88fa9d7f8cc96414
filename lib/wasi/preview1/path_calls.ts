/**
 * Calls on paths: opening, status and times, and changes of names.
 *
 * @module
 */
import { ERRNO } from "../errno.ts";
import { type DirectoryInode, type FileInode, FILETYPE, type Inode } from "../fs/inode.ts";
import {
  ALL_FDFLAGS,
  ALL_OFLAGS,
  DIRECTORY_RIGHTS,
  FILE_RIGHTS,
  FILESTAT_SIZE,
  INHERITABLE_RIGHTS,
  LOOKUP_SYMLINK_FOLLOW,
  OFLAG,
  RIGHT,
  rightsOf,
} from "./abi.ts";
import { directoryOf, lookUp, type WasiContext, type WasiFunctions } from "./call_context.ts";
import type { DirectoryDescriptor } from "./fd_table.ts";
import { setTimes, writeFilestat } from "./filestat.ts";

/** Checked arguments of `path_open`. */
interface OpenRequest {
  /** Directory descriptor that the path is relative to. */
  through: DirectoryDescriptor;
  /** `$oflags` bits. */
  oflags: number;
  /** Requested rights, limited to those that the directory passes on. */
  rights: number;
}

/** Returns `path_open`. */
export function pathOpen(context: WasiContext): WasiFunctions {
  const { memory, fds } = context;
  return {
    path_open(
      fd: number,
      lookup: number,
      pointer: number,
      length: number,
      oflags: number,
      base: bigint,
      inheriting: bigint,
      fdflags: number,
      result: number,
    ): number {
      const through = directoryOf(context, fd, RIGHT.PATH_OPEN);
      if (typeof through === "number") return through;
      if ((oflags & ~ALL_OFLAGS) !== 0 || (fdflags & ~ALL_FDFLAGS) !== 0) return ERRNO.INVAL;
      // Linux open(2) also rejects O_DIRECTORY with O_CREAT since 6.4.
      if ((oflags & OFLAG.DIRECTORY) !== 0 && (oflags & ~OFLAG.DIRECTORY) !== 0) return ERRNO.INVAL;
      if (!memory.ok(result >>> 0, 4)) return ERRNO.FAULT;
      const exclusive = (oflags & OFLAG.CREAT) !== 0 && (oflags & OFLAG.EXCL) !== 0;
      const follow = (lookup & LOOKUP_SYMLINK_FOLLOW) !== 0 && !exclusive;
      const errno = lookUp(context, through, {
        pointer,
        length,
        lastLink: follow ? "follow" : "slash",
      });
      if (errno !== 0) return errno;
      if (fds.full) return ERRNO.MFILE;

      // Rights that the directory cannot pass on are dropped. The witx requires an error, but Go and wasi-libc
      // request all rights and then check which they got.
      const rights = rightsOf(base) & through.inheriting;
      const inode = context.lookup.inode === undefined
        ? create(context, { through, oflags, rights })
        : existing(context, { through, oflags, rights });
      if (typeof inode === "number") return inode;
      const inherited = rightsOf(inheriting) & through.inheriting & INHERITABLE_RIGHTS;
      const opened = inode.type === FILETYPE.DIRECTORY
        ? fds.add({
          kind: "directory",
          inode,
          rights: rights & DIRECTORY_RIGHTS,
          inheriting: inherited,
          flags: fdflags,
          preopen: undefined,
        })
        : fds.add({
          kind: "file",
          inode,
          rights: rights & FILE_RIGHTS,
          inheriting: inherited & FILE_RIGHTS,
          flags: fdflags,
          offset: 0,
        });
      memory.view.setUint32(result >>> 0, opened, true);
      return 0;
    },
  };
}

/** Creates the file of a lookup without an inode. */
function create(
  { fs, lookup }: WasiContext,
  { through, oflags }: OpenRequest,
): FileInode | number {
  if ((oflags & OFLAG.CREAT) === 0) return ERRNO.NOENT;
  if (lookup.slash) return ERRNO.ISDIR;
  if ((through.rights & RIGHT.PATH_CREATE_FILE) === 0) return ERRNO.NOTCAPABLE;
  return fs.createFile(lookup);
}

/** Checks that an existing inode can be opened, and truncates it if requested. */
function existing(
  { fs, lookup }: WasiContext,
  { through, oflags, rights }: OpenRequest,
): FileInode | DirectoryInode | number {
  const inode = lookup.inode!;
  if ((oflags & OFLAG.CREAT) !== 0 && (oflags & OFLAG.EXCL) !== 0) return ERRNO.EXIST;
  if (inode.type === FILETYPE.SYMBOLIC_LINK) return ERRNO.LOOP;
  if (inode.type === FILETYPE.DIRECTORY) {
    const changes = (oflags & (OFLAG.CREAT | OFLAG.TRUNC)) !== 0 || (rights & RIGHT.FD_WRITE) !== 0;
    return changes ? ERRNO.ISDIR : inode;
  }
  if ((oflags & OFLAG.DIRECTORY) !== 0) return ERRNO.NOTDIR;
  if ((oflags & OFLAG.TRUNC) !== 0) {
    // EPERM instead of ENOTCAPABLE: early runtimes returned it, and guests check for it.
    if ((through.rights & RIGHT.PATH_FILESTAT_SET_SIZE) === 0) return ERRNO.PERM;
    fs.resize(inode, 0);
  }
  return inode;
}

/** Arguments of {@linkcode pathStat}'s lookups. */
interface PathArguments {
  fd: number;
  flags: number;
  pointer: number;
  length: number;
  right: number;
}

/** Returns the functions that read the status of a path or set its times. */
export function pathStat(context: WasiContext): WasiFunctions {
  const { memory } = context;

  /** Inode at a path, or an errno. */
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

/** Copy of a lookup result, which the next lookup overwrites. */
interface Found {
  parent: WasiContext["lookup"]["parent"];
  name: string;
  inode: Inode | undefined;
  slash: boolean;
}

/** Returns the functions that create, move and remove names, except `path_open`. */
export function pathChange(context: WasiContext): WasiFunctions {
  const { memory, fs, lookup } = context;

  /** Resolves the name to change without following a symbolic link there. */
  function find(fd: number, right: number, path: { pointer: number; length: number }): number {
    const through = directoryOf(context, fd, right);
    if (typeof through === "number") return through;
    return lookUp(context, through, { ...path, lastLink: "keep" });
  }

  function copyResult(): Found {
    const { parent, name, inode, slash } = lookup;
    return { parent, name, inode, slash };
  }

  return {
    path_create_directory(fd: number, pointer: number, length: number): number {
      const errno = find(fd, RIGHT.PATH_CREATE_DIRECTORY, { pointer, length });
      if (errno !== 0) return errno;
      if (lookup.inode !== undefined) return ERRNO.EXIST;
      const made = fs.createDirectory(lookup);
      return typeof made === "number" ? made : 0;
    },

    path_symlink(
      targetPointer: number,
      targetLength: number,
      fd: number,
      pointer: number,
      length: number,
    ): number {
      const target = memory.path(targetPointer >>> 0, targetLength >>> 0);
      if (typeof target === "number") return target;
      if (target === "") return ERRNO.NOENT;
      // No lookup would follow an absolute target; wasmtime rejects it too.
      if (target.startsWith("/")) return ERRNO.PERM;
      const errno = find(fd, RIGHT.PATH_SYMLINK, { pointer, length });
      if (errno !== 0) return errno;
      if (lookup.inode !== undefined) return ERRNO.EXIST;
      return lookup.slash ? ERRNO.NOENT : fs.createSymlink(lookup, target);
    },

    path_link(
      fromFd: number,
      flags: number,
      fromPointer: number,
      fromLength: number,
      toFd: number,
      toPointer: number,
      toLength: number,
    ): number {
      // Hard links never follow symbolic links, as in wasmtime.
      if ((flags & LOOKUP_SYMLINK_FOLLOW) !== 0) return ERRNO.INVAL;
      const errno = find(fromFd, RIGHT.PATH_LINK_SOURCE, {
        pointer: fromPointer,
        length: fromLength,
      });
      if (errno !== 0) return errno;
      const { inode, slash } = lookup;
      if (inode === undefined) return ERRNO.NOENT;
      const toErrno = find(toFd, RIGHT.PATH_LINK_TARGET, { pointer: toPointer, length: toLength });
      if (toErrno !== 0) return toErrno;
      if (lookup.inode !== undefined) return ERRNO.EXIST;
      if (inode.type === FILETYPE.DIRECTORY) return ERRNO.PERM;
      if (slash) return ERRNO.NOTDIR;
      return lookup.slash ? ERRNO.NOENT : fs.link(lookup, inode);
    },

    path_rename(
      fromFd: number,
      fromPointer: number,
      fromLength: number,
      toFd: number,
      toPointer: number,
      toLength: number,
    ): number {
      const errno = find(fromFd, RIGHT.PATH_RENAME_SOURCE, {
        pointer: fromPointer,
        length: fromLength,
      });
      if (errno !== 0) return errno;
      const from = copyResult();
      const toErrno = find(toFd, RIGHT.PATH_RENAME_TARGET, {
        pointer: toPointer,
        length: toLength,
      });
      if (toErrno !== 0) return toErrno;
      if (from.inode === undefined) return ERRNO.NOENT;
      // "." and ".." cannot be moved or replaced (EBUSY of rename(2)).
      if (from.name === "" || lookup.name === "") return ERRNO.BUSY;
      if (from.inode.type !== FILETYPE.DIRECTORY && (from.slash || lookup.slash)) {
        return ERRNO.NOTDIR;
      }
      return fs.rename(from, copyResult(), from.inode);
    },

    path_remove_directory(fd: number, pointer: number, length: number): number {
      const errno = find(fd, RIGHT.PATH_REMOVE_DIRECTORY, { pointer, length });
      if (errno !== 0) return errno;
      const { inode, name } = lookup;
      if (inode === undefined) return ERRNO.NOENT;
      if (inode.type !== FILETYPE.DIRECTORY) return ERRNO.NOTDIR;
      return name === "" ? ERRNO.INVAL : fs.removeDirectory(lookup, inode);
    },

    path_unlink_file(fd: number, pointer: number, length: number): number {
      const errno = find(fd, RIGHT.PATH_UNLINK_FILE, { pointer, length });
      if (errno !== 0) return errno;
      const { inode, slash } = lookup;
      if (inode === undefined) return ERRNO.NOENT;
      if (inode.type === FILETYPE.DIRECTORY) return ERRNO.ISDIR;
      if (slash) return ERRNO.NOTDIR;
      fs.unlink(lookup, inode);
      return 0;
    },
  };
}
