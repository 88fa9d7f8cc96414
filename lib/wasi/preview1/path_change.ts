/**
 * What makes, moves and removes names, except opening files: `path_create_directory`,
 * `path_symlink`, `path_link`, `path_rename`, `path_remove_directory`, `path_unlink_file`.
 * @module
 */
import { ERRNO, FILETYPE, LOOKUP_SYMLINK_FOLLOW, RIGHT } from "./abi.ts";
import { directoryOf, lookUp, type WasiContext, type WasiFunctions } from "./call_context.ts";
import type { Inode } from "../fs/inode.ts";

/** A place as a lookup found it, kept while another lookup runs. */
interface Found {
  parent: WasiContext["lookup"]["parent"];
  name: string;
  inode: Inode | undefined;
  slash: boolean;
}

/** The functions that change names. */
export function pathChange(context: WasiContext): WasiFunctions {
  const { memory, fs, lookup } = context;

  /** Looks up the name to change; a symbolic link there is itself meant. */
  function find(fd: number, right: number, path: { pointer: number; length: number }): number {
    const through = directoryOf(context, fd, right);
    if (typeof through === "number") return through;
    return lookUp(context, through, { ...path, lastLink: "keep" });
  }

  function keep(): Found {
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
      // A link that no lookup would ever follow; wasmtime refuses to make it.
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
      // Hard links are to what the name leads to; wasmtime does not follow links here either.
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
      const from = keep();
      const toErrno = find(toFd, RIGHT.PATH_RENAME_TARGET, {
        pointer: toPointer,
        length: toLength,
      });
      if (toErrno !== 0) return toErrno;
      if (from.inode === undefined) return ERRNO.NOENT;
      // "." and ".." cannot be moved or replaced (rename(2), EBUSY).
      if (from.name === "" || lookup.name === "") return ERRNO.BUSY;
      if (from.inode.type !== FILETYPE.DIRECTORY && (from.slash || lookup.slash)) {
        return ERRNO.NOTDIR;
      }
      return fs.rename(from, keep(), from.inode);
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
