/**
 * Implements the calls on paths: opening, status and times, and changes of names.
 *
 * @module
 */
import {
  ALL_FDFLAGS,
  ALL_OFLAGS,
  DIRECTORY_RIGHTS,
  ERRNO,
  FILE_RIGHTS,
  FILESTAT_SIZE,
  INHERITABLE_RIGHTS,
  LOOKUP_SYMLINK_FOLLOW,
  OFLAG,
  OPEN_MODE,
  RIGHT,
  rightsOf,
  STDIN_RIGHTS,
  STDOUT_RIGHTS,
} from "../abi.ts";
import {
  type DeviceInode,
  type DirectoryInode,
  type FileInode,
  FILETYPE,
  type Inode,
} from "../fs/inode.ts";
import {
  createDirectoryAt,
  createSymlinkAt,
  linkAt,
  openInode,
  removeDirectoryAt,
  renameAt,
  unlinkFileAt,
} from "../fs/path_operations.ts";
import {
  directoryOf,
  lookUp,
  type WasiContext,
  type WasiFunctions,
  writeFilestat,
} from "./call_context.ts";
import { setTimes } from "../job_system.ts";
import type { Descriptor, DirectoryDescriptor } from "./fd_table.ts";

/**
 * Open mode that the requested rights select; all other rights are granted. A private tree has nothing that rights
 * could protect, and programs request none (wasmtime's tests, Zig) or all (wasi-libc, Go). As in wasmtime, a request
 * for neither reading nor writing opens for reading.
 */
function modeOf(base: bigint): number {
  const mode = rightsOf(base) & OPEN_MODE;
  return mode === 0 ? RIGHT.FD_READ : mode;
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
      _inheriting: bigint,
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

      const mode = modeOf(base);
      const inode = openInode(context, {
        oflags,
        writes: (mode & RIGHT.FD_WRITE) !== 0,
        mayCreate: (through.rights & RIGHT.PATH_CREATE_FILE) !== 0,
        mayTruncate: (through.rights & RIGHT.PATH_FILESTAT_SET_SIZE) !== 0,
      });
      if (typeof inode === "number") return inode;
      const opened = fds.add(descriptorOf(inode, { through, mode, fdflags }));
      memory.view.setUint32(result >>> 0, opened, true);
      return 0;
    },
  };
}

/** Returns a new descriptor of an inode, with all rights except those that the open mode excludes. */
function descriptorOf(
  inode: FileInode | DirectoryInode | DeviceInode,
  { through, mode, fdflags: flags }: {
    through: DirectoryDescriptor;
    mode: number;
    fdflags: number;
  },
): Descriptor {
  // What the guest dropped from the directory by fd_fdstat_set_rights() is not granted again.
  const granted = (rights: number) => rights & through.inheriting;
  const opened = (rights: number) => granted(rights & (~OPEN_MODE | mode));
  if (inode.type === FILETYPE.DIRECTORY) {
    const rights = granted(DIRECTORY_RIGHTS);
    const inheriting = granted(INHERITABLE_RIGHTS);
    return { kind: "directory", inode, rights, inheriting, flags, preopen: undefined };
  }
  if (inode.type === FILETYPE.REGULAR_FILE) {
    const inheriting = granted(FILE_RIGHTS);
    return { kind: "file", inode, rights: opened(FILE_RIGHTS), inheriting, flags, offset: 0 };
  }
  const { device: kind } = inode;
  if (kind === "stdin" || kind === "stdout" || kind === "stderr") {
    const rights = opened(kind === "stdin" ? STDIN_RIGHTS : STDOUT_RIGHTS);
    return { kind, rights, inheriting: 0, flags };
  }
  return { kind: "device", inode, rights: opened(FILE_RIGHTS), inheriting: 0, flags };
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

/** Returns the functions that create, move and remove names, except `path_open`. */
export function pathChange(context: WasiContext): WasiFunctions {
  const { memory } = context;

  /** Resolves the name to change without following a symbolic link there. */
  function find(fd: number, right: number, path: { pointer: number; length: number }): number {
    const through = directoryOf(context, fd, right);
    if (typeof through === "number") return through;
    return lookUp(context, through, { ...path, lastLink: "keep" });
  }

  return {
    path_create_directory: (fd: number, pointer: number, length: number): number =>
      createDirectoryAt(context, () => find(fd, RIGHT.PATH_CREATE_DIRECTORY, { pointer, length })),

    path_symlink(
      targetPointer: number,
      targetLength: number,
      fd: number,
      pointer: number,
      length: number,
    ): number {
      const target = memory.path(targetPointer >>> 0, targetLength >>> 0);
      if (typeof target === "number") return target;
      return createSymlinkAt(context, {
        target,
        find: () => find(fd, RIGHT.PATH_SYMLINK, { pointer, length }),
      });
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
      const from = { pointer: fromPointer, length: fromLength };
      const to = { pointer: toPointer, length: toLength };
      return linkAt(context, {
        from: () => find(fromFd, RIGHT.PATH_LINK_SOURCE, from),
        to: () => find(toFd, RIGHT.PATH_LINK_TARGET, to),
      });
    },

    path_rename(
      fromFd: number,
      fromPointer: number,
      fromLength: number,
      toFd: number,
      toPointer: number,
      toLength: number,
    ): number {
      const from = { pointer: fromPointer, length: fromLength };
      const to = { pointer: toPointer, length: toLength };
      return renameAt(context, {
        from: () => find(fromFd, RIGHT.PATH_RENAME_SOURCE, from),
        to: () => find(toFd, RIGHT.PATH_RENAME_TARGET, to),
      });
    },

    path_remove_directory: (fd: number, pointer: number, length: number): number =>
      removeDirectoryAt(context, () => find(fd, RIGHT.PATH_REMOVE_DIRECTORY, { pointer, length })),

    path_unlink_file: (fd: number, pointer: number, length: number): number =>
      unlinkFileAt(context, () => find(fd, RIGHT.PATH_UNLINK_FILE, { pointer, length })),
  };
}
