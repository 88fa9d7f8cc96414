/**
 * Implements what both versions of WASI do with paths: opening, and changes of names.
 *
 * @module
 */
import { ERRNO, OFLAG } from "../abi.ts";
import type { FileSystem } from "./file_system.ts";
import {
  type DeviceInode,
  type DirectoryInode,
  type FileInode,
  FILETYPE,
  type Inode,
} from "./inode.ts";
import type { PathLookup } from "./path_lookup.ts";

/** File system with the result of the last lookup. */
export interface FileTree {
  /** File system. */
  readonly fs: FileSystem;
  /** Path resolver. */
  readonly lookup: PathLookup;
}

/** Resolves a path into `lookup`, without following a symbolic link at its end; returns an errno. */
export type FindName = () => number;

/** Options of {@linkcode openInode}. */
export interface OpenInodeOptions {
  /** `$oflags` bits. */
  oflags: number;
  /** Whether the descriptor writes. */
  writes: boolean;
  /** Whether a file may be created. */
  mayCreate: boolean;
  /** Whether a file may be truncated. */
  mayTruncate: boolean;
}

/** Returns the inode of the last lookup for a new descriptor: creates or truncates it as asked. */
export function openInode(
  tree: FileTree,
  options: OpenInodeOptions,
): FileInode | DirectoryInode | DeviceInode | number {
  return tree.lookup.inode === undefined ? create(tree, options) : existing(tree, options);
}

/** Creates the file of a lookup without an inode. */
function create(
  { fs, lookup }: FileTree,
  { oflags, mayCreate }: OpenInodeOptions,
): FileInode | number {
  if ((oflags & OFLAG.CREAT) === 0) return ERRNO.NOENT;
  if (lookup.slash) return ERRNO.ISDIR;
  return mayCreate ? fs.createFile(lookup) : ERRNO.NOTCAPABLE;
}

/** Checks that an existing inode can be opened, and truncates it if requested. */
function existing(
  { fs, lookup }: FileTree,
  { oflags, writes, mayTruncate }: OpenInodeOptions,
): FileInode | DirectoryInode | DeviceInode | number {
  const inode = lookup.inode!;
  if ((oflags & OFLAG.CREAT) !== 0 && (oflags & OFLAG.EXCL) !== 0) return ERRNO.EXIST;
  if (inode.type === FILETYPE.SYMBOLIC_LINK) return ERRNO.LOOP;
  if (inode.type === FILETYPE.DIRECTORY) {
    return (oflags & (OFLAG.CREAT | OFLAG.TRUNC)) !== 0 || writes ? ERRNO.ISDIR : inode;
  }
  if ((oflags & OFLAG.DIRECTORY) !== 0) return ERRNO.NOTDIR;
  if (inode.type === FILETYPE.CHARACTER_DEVICE) return inode;
  if ((oflags & OFLAG.TRUNC) !== 0) {
    // EPERM instead of ENOTCAPABLE: early runtimes returned it, and guests check for it.
    if (!mayTruncate) return ERRNO.PERM;
    fs.resize(inode, 0);
  }
  return inode;
}

/** Creates a directory; returns an errno. */
export function createDirectoryAt({ fs, lookup }: FileTree, find: FindName): number {
  const errno = find();
  if (errno !== 0) return errno;
  if (lookup.inode !== undefined) return ERRNO.EXIST;
  const made = fs.createDirectory(lookup);
  return typeof made === "number" ? made : 0;
}

/** Creates a symbolic link; returns an errno. */
export function createSymlinkAt(
  { fs, lookup }: FileTree,
  { target, find }: { target: string; find: FindName },
): number {
  if (target === "") return ERRNO.NOENT;
  // No lookup would follow an absolute target; wasmtime rejects it too.
  if (target.startsWith("/")) return ERRNO.PERM;
  const errno = find();
  if (errno !== 0) return errno;
  const { inode, slash } = lookup;
  if (inode === undefined) return slash ? ERRNO.NOENT : fs.createSymlink(lookup, target);
  // symlink(2) of POSIX, where Linux returns EEXIST.
  return slash && inode.type !== FILETYPE.DIRECTORY ? ERRNO.NOTDIR : ERRNO.EXIST;
}

/** Two paths. */
interface FindNames {
  from: FindName;
  to: FindName;
}

/** Creates a hard link; returns an errno. */
export function linkAt({ fs, lookup }: FileTree, { from, to }: FindNames): number {
  const errno = from();
  if (errno !== 0) return errno;
  const { inode, slash } = lookup;
  if (inode === undefined) return ERRNO.NOENT;
  const toErrno = to();
  if (toErrno !== 0) return toErrno;
  if (lookup.inode !== undefined) return ERRNO.EXIST;
  if (inode.type === FILETYPE.DIRECTORY || inode.type === FILETYPE.CHARACTER_DEVICE) {
    return ERRNO.PERM;
  }
  if (slash) return ERRNO.NOTDIR;
  return lookup.slash ? ERRNO.NOENT : fs.link(lookup, inode);
}

/** Copy of a lookup result, which the next lookup overwrites. */
interface FoundName {
  parent: DirectoryInode;
  name: string;
  inode: Inode | undefined;
  slash: boolean;
}

function copyResult({ parent, name, inode, slash }: PathLookup): FoundName {
  return { parent, name, inode, slash };
}

/** Moves a name; returns an errno. */
export function renameAt({ fs, lookup }: FileTree, { from, to }: FindNames): number {
  const errno = from();
  if (errno !== 0) return errno;
  const found = copyResult(lookup);
  const toErrno = to();
  if (toErrno !== 0) return toErrno;
  if (found.inode === undefined) return ERRNO.NOENT;
  // "." and ".." cannot be moved or replaced (EBUSY of rename(2)).
  if (found.name === "" || lookup.name === "") return ERRNO.BUSY;
  if (found.inode.type !== FILETYPE.DIRECTORY && (found.slash || lookup.slash)) {
    return ERRNO.NOTDIR;
  }
  return fs.rename(found, copyResult(lookup), found.inode);
}

/** Removes an empty directory; returns an errno. */
export function removeDirectoryAt({ fs, lookup }: FileTree, find: FindName): number {
  const errno = find();
  if (errno !== 0) return errno;
  const { inode, name } = lookup;
  if (inode === undefined) return ERRNO.NOENT;
  if (inode.type !== FILETYPE.DIRECTORY) return ERRNO.NOTDIR;
  return name === "" ? ERRNO.INVAL : fs.removeDirectory(lookup, inode);
}

/** Removes a name of anything but a directory; returns an errno. */
export function unlinkFileAt({ fs, lookup }: FileTree, find: FindName): number {
  const errno = find();
  if (errno !== 0) return errno;
  const { inode, slash } = lookup;
  if (inode === undefined) return ERRNO.NOENT;
  if (inode.type === FILETYPE.DIRECTORY) return ERRNO.ISDIR;
  if (slash) return ERRNO.NOTDIR;
  return fs.unlink(lookup, inode);
}
