/**
 * Defines the constants of the WASI preview1 binary interface, except file types and clock ids.
 * Source: `phases/snapshot/witx/typenames.witx` of WebAssembly/WASI, where the order of the names is the numbering.
 *
 * @module
 */

/** Error numbers (`$errno`) that this implementation returns. */
export const ERRNO = {
  SUCCESS: 0,
  AGAIN: 6,
  BADF: 8,
  BUSY: 10,
  EXIST: 20,
  FAULT: 21,
  FBIG: 22,
  ILSEQ: 25,
  INVAL: 28,
  IO: 29,
  ISDIR: 31,
  LOOP: 32,
  MFILE: 33,
  MLINK: 34,
  NAMETOOLONG: 37,
  NODEV: 43,
  NOENT: 44,
  NOMEM: 48,
  NOSPC: 51,
  NOTDIR: 54,
  NOTEMPTY: 55,
  NOTSOCK: 57,
  NOTSUP: 58,
  PERM: 63,
  SPIPE: 70,
  NOTCAPABLE: 76,
} as const;

/**
 * Rights (`$rights`). Preview1 defines 30 of the 64 bits, so a JavaScript number holds them all without a BigInt.
 */
export const RIGHT = {
  FD_DATASYNC: 1 << 0,
  FD_READ: 1 << 1,
  FD_SEEK: 1 << 2,
  FD_FDSTAT_SET_FLAGS: 1 << 3,
  FD_SYNC: 1 << 4,
  FD_TELL: 1 << 5,
  FD_WRITE: 1 << 6,
  FD_ADVISE: 1 << 7,
  FD_ALLOCATE: 1 << 8,
  PATH_CREATE_DIRECTORY: 1 << 9,
  PATH_CREATE_FILE: 1 << 10,
  PATH_LINK_SOURCE: 1 << 11,
  PATH_LINK_TARGET: 1 << 12,
  PATH_OPEN: 1 << 13,
  FD_READDIR: 1 << 14,
  PATH_READLINK: 1 << 15,
  PATH_RENAME_SOURCE: 1 << 16,
  PATH_RENAME_TARGET: 1 << 17,
  PATH_FILESTAT_GET: 1 << 18,
  PATH_FILESTAT_SET_SIZE: 1 << 19,
  PATH_FILESTAT_SET_TIMES: 1 << 20,
  FD_FILESTAT_GET: 1 << 21,
  FD_FILESTAT_SET_SIZE: 1 << 22,
  FD_FILESTAT_SET_TIMES: 1 << 23,
  PATH_SYMLINK: 1 << 24,
  PATH_REMOVE_DIRECTORY: 1 << 25,
  PATH_UNLINK_FILE: 1 << 26,
  POLL_FD_READWRITE: 1 << 27,
  SOCK_SHUTDOWN: 1 << 28,
  SOCK_ACCEPT: 1 << 29,
} as const;

/** All defined rights. */
export const ALL_RIGHTS = 2 ** 30 - 1;

/** Rights that `path_open` uses as the open mode. */
export const OPEN_MODE = RIGHT.FD_READ | RIGHT.FD_WRITE;

/** Rights of a regular file. */
export const FILE_RIGHTS = RIGHT.FD_DATASYNC | RIGHT.FD_READ | RIGHT.FD_SEEK |
  RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_SYNC | RIGHT.FD_TELL | RIGHT.FD_WRITE | RIGHT.FD_ADVISE |
  RIGHT.FD_ALLOCATE | RIGHT.FD_FILESTAT_GET | RIGHT.FD_FILESTAT_SET_SIZE |
  RIGHT.FD_FILESTAT_SET_TIMES | RIGHT.POLL_FD_READWRITE;

/** Rights of a directory itself, which has no position, size or readable content. */
export const DIRECTORY_RIGHTS = RIGHT.FD_DATASYNC | RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_SYNC |
  RIGHT.FD_READDIR | RIGHT.FD_FILESTAT_GET | RIGHT.FD_FILESTAT_SET_TIMES |
  RIGHT.PATH_CREATE_DIRECTORY | RIGHT.PATH_CREATE_FILE | RIGHT.PATH_LINK_SOURCE |
  RIGHT.PATH_LINK_TARGET | RIGHT.PATH_OPEN | RIGHT.PATH_READLINK | RIGHT.PATH_RENAME_SOURCE |
  RIGHT.PATH_RENAME_TARGET | RIGHT.PATH_FILESTAT_GET | RIGHT.PATH_FILESTAT_SET_SIZE |
  RIGHT.PATH_FILESTAT_SET_TIMES | RIGHT.PATH_SYMLINK | RIGHT.PATH_REMOVE_DIRECTORY |
  RIGHT.PATH_UNLINK_FILE;

/** Rights that a directory can pass to descriptors opened through it. */
export const INHERITABLE_RIGHTS = FILE_RIGHTS | DIRECTORY_RIGHTS;

/** Rights of standard input. */
export const STDIN_RIGHTS = RIGHT.FD_READ | RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_FILESTAT_GET |
  RIGHT.POLL_FD_READWRITE;

/** Rights of standard output and standard error. */
export const STDOUT_RIGHTS = RIGHT.FD_WRITE | RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_FILESTAT_GET |
  RIGHT.FD_SYNC | RIGHT.FD_DATASYNC | RIGHT.POLL_FD_READWRITE;

/** Flags of `path_open` (`$oflags`). */
export const OFLAG = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const;

/** All defined `$oflags` bits. */
export const ALL_OFLAGS = 0b1111;

/** Flags of a descriptor (`$fdflags`). */
export const FDFLAG = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 } as const;

/** All defined `$fdflags` bits. */
export const ALL_FDFLAGS = 0b11111;

/** Follows a symbolic link at the end of a path (`$lookupflags`). */
export const LOOKUP_SYMLINK_FOLLOW = 1;

/** Timestamps to set (`$fstflags`). */
export const FSTFLAG = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8 } as const;

/** All defined `$fstflags` bits. */
export const ALL_FSTFLAGS = 0b1111;

/** Base of a seek (`$whence`). */
export const WHENCE = { SET: 0, CUR: 1, END: 2 } as const;

/** Event types (`$eventtype`). */
export const EVENTTYPE = { CLOCK: 0, FD_READ: 1, FD_WRITE: 2 } as const;

/** The peer closed the stream (`$eventrwflags`). */
export const EVENT_HANGUP = 1;

/** The timeout is absolute (`$subclockflags`). */
export const SUBCLOCK_ABSTIME = 1;

/** Highest defined `$advice` (`noreuse`). */
export const MAX_ADVICE = 5;

/** Size of `$iovec` and `$ciovec` (pointer, length), in bytes. */
export const IOVEC_SIZE = 8;

/** Size of `$fdstat`, in bytes. */
export const FDSTAT_SIZE = 24;

/** Size of `$filestat`, in bytes. */
export const FILESTAT_SIZE = 64;

/** Size of `$dirent` without the name, in bytes. */
export const DIRENT_SIZE = 24;

/** Size of `$prestat`, in bytes. */
export const PRESTAT_SIZE = 8;

/** Size of `$subscription`, in bytes. */
export const SUBSCRIPTION_SIZE = 48;

/** Size of `$event`, in bytes. */
export const EVENT_SIZE = 32;

/** Converts `$rights` to a number; undefined bits are dropped. */
export function rightsOf(rights: bigint): number {
  return Number(BigInt.asUintN(32, rights)) & ALL_RIGHTS;
}
