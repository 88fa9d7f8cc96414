/**
 * Numbers of the WASI preview1 binary interface.
 *
 * Source: `phases/snapshot/witx/typenames.witx` of WebAssembly/WASI, where the order of the names is
 * the numbering.
 * @module
 */

/**
 * Rights (`$rights`), as bits of a 32-bit number: preview1 defines 30 of the 64, so a JavaScript
 * number holds them all and no BigInt is made on the way.
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

/** Every right that preview1 defines. */
export const ALL_RIGHTS = 2 ** 30 - 1;

/** What can be done with a regular file. */
export const FILE_RIGHTS = RIGHT.FD_DATASYNC | RIGHT.FD_READ | RIGHT.FD_SEEK |
  RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_SYNC | RIGHT.FD_TELL | RIGHT.FD_WRITE | RIGHT.FD_ADVISE |
  RIGHT.FD_ALLOCATE | RIGHT.FD_FILESTAT_GET | RIGHT.FD_FILESTAT_SET_SIZE |
  RIGHT.FD_FILESTAT_SET_TIMES | RIGHT.POLL_FD_READWRITE;

/** What can be done with a directory itself: it has no position, no size and no content to read. */
export const DIRECTORY_RIGHTS = RIGHT.FD_DATASYNC | RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_SYNC |
  RIGHT.FD_READDIR | RIGHT.FD_FILESTAT_GET | RIGHT.FD_FILESTAT_SET_TIMES |
  RIGHT.PATH_CREATE_DIRECTORY | RIGHT.PATH_CREATE_FILE | RIGHT.PATH_LINK_SOURCE |
  RIGHT.PATH_LINK_TARGET | RIGHT.PATH_OPEN | RIGHT.PATH_READLINK | RIGHT.PATH_RENAME_SOURCE |
  RIGHT.PATH_RENAME_TARGET | RIGHT.PATH_FILESTAT_GET | RIGHT.PATH_FILESTAT_SET_SIZE |
  RIGHT.PATH_FILESTAT_SET_TIMES | RIGHT.PATH_SYMLINK | RIGHT.PATH_REMOVE_DIRECTORY |
  RIGHT.PATH_UNLINK_FILE;

/** What can be handed on by a directory to what is opened under it. */
export const INHERITABLE_RIGHTS = FILE_RIGHTS | DIRECTORY_RIGHTS;

/** Rights of standard input. */
export const STDIN_RIGHTS = RIGHT.FD_READ | RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_FILESTAT_GET |
  RIGHT.POLL_FD_READWRITE;

/** Rights of standard output and standard error. */
export const STDOUT_RIGHTS = RIGHT.FD_WRITE | RIGHT.FD_FDSTAT_SET_FLAGS | RIGHT.FD_FILESTAT_GET |
  RIGHT.FD_SYNC | RIGHT.FD_DATASYNC | RIGHT.POLL_FD_READWRITE;

/** Flags of `path_open` (`$oflags`). */
export const OFLAG = { CREAT: 1, DIRECTORY: 2, EXCL: 4, TRUNC: 8 } as const;

/** Every defined `$oflags` bit. */
export const ALL_OFLAGS = 0b1111;

/** Flags of an open descriptor (`$fdflags`). */
export const FDFLAG = { APPEND: 1, DSYNC: 2, NONBLOCK: 4, RSYNC: 8, SYNC: 16 } as const;

/** Every defined `$fdflags` bit. */
export const ALL_FDFLAGS = 0b11111;

/** Follow a symbolic link at the end of a path (`$lookupflags`). */
export const LOOKUP_SYMLINK_FOLLOW = 1;

/** Which times to set (`$fstflags`). */
export const FSTFLAG = { ATIM: 1, ATIM_NOW: 2, MTIM: 4, MTIM_NOW: 8 } as const;

/** Every defined `$fstflags` bit. */
export const ALL_FSTFLAGS = 0b1111;

/** Where a seek starts (`$whence`). */
export const WHENCE = { SET: 0, CUR: 1, END: 2 } as const;

/** Kinds of events (`$eventtype`). */
export const EVENTTYPE = { CLOCK: 0, FD_READ: 1, FD_WRITE: 2 } as const;

/** The peer of a stream has closed it (`$eventrwflags`). */
export const EVENT_HANGUP = 1;

/** The timeout is a point in time, not a span (`$subclockflags`). */
export const SUBCLOCK_ABSTIME = 1;

/** Highest defined `$advice` (`noreuse`). */
export const MAX_ADVICE = 5;

/** Bytes of one `$iovec` or `$ciovec`: pointer and length. */
export const IOVEC_SIZE = 8;

/** Bytes of `$fdstat`. */
export const FDSTAT_SIZE = 24;

/** Bytes of `$filestat`. */
export const FILESTAT_SIZE = 64;

/** Bytes of `$dirent`, before the name. */
export const DIRENT_SIZE = 24;

/** Bytes of `$prestat`. */
export const PRESTAT_SIZE = 8;

/** Bytes of `$subscription`. */
export const SUBSCRIPTION_SIZE = 48;

/** Bytes of `$event`. */
export const EVENT_SIZE = 32;

/** The defined bits of `$rights`; others mean nothing and are dropped. */
export function rightsOf(rights: bigint): number {
  return Number(BigInt.asUintN(32, rights)) & ALL_RIGHTS;
}
