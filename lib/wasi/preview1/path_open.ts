/**
 * `path_open`.
 * @module
 */
import {
  ALL_FDFLAGS,
  ALL_OFLAGS,
  DIRECTORY_RIGHTS,
  ERRNO,
  FILE_RIGHTS,
  FILETYPE,
  INHERITABLE_RIGHTS,
  LOOKUP_SYMLINK_FOLLOW,
  OFLAG,
  RIGHT,
} from "./abi.ts";
import { directoryOf, lookUp, type WasiContext, type WasiFunctions } from "./call_context.ts";
import { rightsOf } from "./fd_meta.ts";
import type { DirectoryDescriptor } from "./fd_table.ts";
import type { DirectoryInode, FileInode } from "../fs/inode.ts";

/** What is asked of an open, checked. */
interface OpenRequest {
  /** The directory descriptor it goes through. */
  through: DirectoryDescriptor;
  /** `$oflags` bits. */
  oflags: number;
  /** Rights asked for, within what the directory may hand on. */
  rights: number;
}

/** The function that opens and creates. */
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
      // open(2) of Linux refuses to create a directory this way since 6.4.
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

      // What the directory may not hand on is not handed on. The witx would have the call fail, but
      // programs ask for everything and look at what they got (Go, wasi-libc).
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

function create(
  { fs, lookup }: WasiContext,
  { through, oflags }: OpenRequest,
): FileInode | number {
  if ((oflags & OFLAG.CREAT) === 0) return ERRNO.NOENT;
  if (lookup.slash) return ERRNO.ISDIR;
  if ((through.rights & RIGHT.PATH_CREATE_FILE) === 0) return ERRNO.NOTCAPABLE;
  return fs.createFile(lookup);
}

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
    // EPERM and not ENOTCAPABLE: what the first runtimes answered and guests look for.
    if ((through.rights & RIGHT.PATH_FILESTAT_SET_SIZE) === 0) return ERRNO.PERM;
    fs.resize(inode, 0);
  }
  return inode;
}
