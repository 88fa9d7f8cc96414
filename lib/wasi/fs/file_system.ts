/**
 * Implements the in-memory file system of a job, with limits on bytes and inodes.
 *
 * @module
 */
import { ERRNO } from "../abi.ts";
import { utf8Length } from "./path_lookup.ts";
import { BuiltIns, DEV } from "./built_ins.ts";
import { FileContent } from "./file_content.ts";
import type { SharedTree } from "./shared_tree.ts";
import {
  DeviceInode,
  DirectoryInode,
  FileInode,
  type Inode,
  NO_CONTENT,
  SymlinkInode,
  type Timestamp,
} from "./inode.ts";

/**
 * Fixed cost of an inode, in bytes: about the size of its objects in V8, so that empty files cannot exceed the
 * limit in real memory.
 */
export const INODE_BYTES = 512;

/** Fixed cost of a name in addition to its UTF-8 length, in bytes: its entry in the directory's table. */
export const NAME_BYTES = 128;

/** Most names of one inode, as in ext4. */
const MAX_LINKS = 65_000;

/** Time of what exists before the job and has no other: the same in each run. */
export const INITIAL_TIME: Timestamp = 0n;

/** Limits of a {@linkcode FileSystem}. */
export interface FileSystemLimits {
  /** Content (logical size, including holes), names, link targets and fixed costs, in bytes. */
  fsBytes: number;
  /** Files, directories, symbolic links, and hard links beyond an inode's first name. */
  fsInodes: number;
}

/** A directory entry, which need not exist. */
export interface DirectoryEntry {
  /** Directory that contains the entry. */
  parent: DirectoryInode;
  /** Name in the directory. */
  name: string;
}

/**
 * Tree of inodes with limits. Methods return an errno (0 is success) and change nothing if they fail. Logical sizes
 * count against the limit, so that it has the same effect on every node and a sparse file cannot exceed it.
 */
export class FileSystem {
  /** Root directory. */
  readonly root: DirectoryInode;
  /** Limits. */
  readonly limits: Readonly<FileSystemLimits>;
  /** Called before a call fails because a limit is reached. It may throw. */
  onFull: () => void = () => {};
  #now: () => Timestamp;
  #bytes = INODE_BYTES;
  #peakBytes = INODE_BYTES;
  #inodes = 1;
  #nextIno = 1;
  #builtIns: BuiltIns;
  /** Last inode number of the inputs. */
  #lastInput = 1;
  #shared: SharedTree | undefined;
  #wasFull = false;

  constructor(limits: FileSystemLimits, now: () => Timestamp) {
    this.limits = limits;
    this.#now = now;
    this.root = new DirectoryInode(this.#nextIno++, INITIAL_TIME, undefined);
    this.#builtIns = new BuiltIns(this.root, { nextIno: () => this.#nextIno++, now: INITIAL_TIME });
  }

  /** Current use, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Peak use, in bytes. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Number of inodes, plus hard links beyond each inode's first name. */
  get inodes(): number {
    return this.#inodes;
  }

  /** Whether a call has failed because a limit was reached. */
  get wasFull(): boolean {
    return this.#wasFull;
  }

  /** Records that the inputs are complete: what is created from now on is the job's. */
  endInputs(): void {
    this.#lastInput = this.#nextIno - 1;
  }

  /** Records the tree for another thread from now on, after the inputs. */
  share(tree: SharedTree): void {
    this.#shared = tree;
    tree.begin(this.root, { lastInput: this.#lastInput });
  }

  /** Whether the job created an inode, or changed the content of a file. */
  isChanged(inode: Inode): boolean {
    // A change sets the time to a number of clock ticks; the time of an input is a BigInt.
    const isModified = inode instanceof FileInode && typeof inode.mtim === "number";
    return inode.ino > this.#lastInput || isModified;
  }

  /** Creates an empty file under a free name; returns an errno on failure. */
  createFile(entry: DirectoryEntry): FileInode | number {
    const errno = this.#charge(entry, INODE_BYTES);
    if (errno !== 0) return errno;
    const now = this.#now();
    const file = new FileInode(this.#nextIno++, now);
    this.#add(entry, file, now);
    return file;
  }

  /** Creates an empty directory under a free name; returns an errno on failure. */
  createDirectory(entry: DirectoryEntry): DirectoryInode | number {
    const errno = this.#charge(entry, INODE_BYTES);
    if (errno !== 0) return errno;
    const now = this.#now();
    const directory = new DirectoryInode(this.#nextIno++, now, entry.parent);
    // Only a job's inputs can create it; a guest gets EEXIST.
    if (entry.parent === this.root && entry.name === DEV) this.#builtIns.provideDevices(directory);
    this.#add(entry, directory, now);
    return directory;
  }

  /** Creates a symbolic link under a free name. */
  createSymlink(entry: DirectoryEntry, target: string): number {
    const errno = this.#charge(entry, INODE_BYTES + utf8Length(target));
    if (errno !== 0) return errno;
    const now = this.#now();
    this.#add(entry, new SymlinkInode(this.#nextIno++, now, target), now);
    return 0;
  }

  /** Creates a hard link to a file or symbolic link under a free name. */
  link(entry: DirectoryEntry, inode: FileInode | SymlinkInode): number {
    if (inode.nlink >= MAX_LINKS) return ERRNO.MLINK;
    const errno = this.#charge(entry, 0);
    if (errno !== 0) return errno;
    inode.nlink++;
    const now = this.#now();
    inode.ctim = now;
    this.#add(entry, inode, now);
    return 0;
  }

  /** Removes a name of anything but a directory; the inode is freed with its last name and descriptor. */
  unlink(entry: DirectoryEntry, inode: Exclude<Inode, DirectoryInode>): number {
    if (isBuiltIn(inode)) return ERRNO.PERM;
    const now = this.#now();
    this.#remove(entry, now);
    this.#dropName(inode, now);
    return 0;
  }

  /** Removes an empty directory. */
  removeDirectory(entry: DirectoryEntry, directory: DirectoryInode): number {
    if (isBuiltIn(directory)) return ERRNO.PERM;
    if (directory.count > 0) return ERRNO.NOTEMPTY;
    const now = this.#now();
    this.#remove(entry, now);
    this.#dropName(directory, now);
    return 0;
  }

  /** Moves an inode to a free name or replaces the inode there, as rename(2) does. */
  rename(from: DirectoryEntry, to: DirectoryEntry, inode: Inode): number {
    const present = to.parent.get(to.name);
    if (present === inode) return 0;
    if (isBuiltIn(inode) || isBuiltIn(present) || to.parent.isReadOnly) return ERRNO.PERM;
    if (to.parent.removed) return ERRNO.NOENT;
    if (inode instanceof DirectoryInode) {
      for (let above = to.parent; above !== above.parent; above = above.parent) {
        if (above === inode) return ERRNO.INVAL;
      }
    }
    const growth = utf8Length(to.name) - utf8Length(from.name);
    if (present !== undefined) {
      const errno = replaceable(inode, present);
      if (errno !== 0) return errno;
    } else if (growth > 0 && this.#bytes + growth > this.limits.fsBytes) {
      return this.#full();
    }
    const now = this.#now();
    // Another thread never sees the inode without a name.
    this.#shared?.entry(to.parent, to.name, inode);
    this.#remove(from, now);
    if (present === undefined) this.#grow(NAME_BYTES + utf8Length(to.name));
    this.#add(to, inode, now);
    inode.ctim = now;
    if (inode instanceof DirectoryInode) inode.parent = to.parent;
    if (present !== undefined) this.#dropName(present, now);
    return 0;
  }

  /** Writes to a file, growing it if needed. */
  write(
    file: FileInode,
    offset: number,
    source: Uint8Array,
    start: number,
    length: number,
  ): number {
    const growth = length === 0 ? 0 : offset + length - file.content.size;
    if (growth > 0) {
      if (this.#bytes + growth > this.limits.fsBytes) return this.#full();
      this.#grow(growth);
    }
    if (length > 0) this.#contentOf(file).write(offset, source, start, length);
    file.mtim = file.ctim = this.#now();
    return 0;
  }

  /** Truncates a file or extends it with zeros. */
  resize(file: FileInode, size: number): number {
    const growth = size - file.content.size;
    if (growth > 0 && this.#bytes + growth > this.limits.fsBytes) return this.#full();
    this.#grow(growth);
    if (growth !== 0) this.#contentOf(file).resize(size);
    file.mtim = file.ctim = this.#now();
    return 0;
  }

  /** Releases an inode when a descriptor of it is closed. */
  release(inode: Inode): void {
    inode.opens--;
    if (inode.nlink === 0 && inode.opens === 0) this.#free(inode);
  }

  #full(): number {
    this.#wasFull = true;
    this.onFull();
    return ERRNO.NOSPC;
  }

  #charge(entry: DirectoryEntry, bytes: number): number {
    if (entry.parent.isReadOnly) return ERRNO.PERM;
    if (entry.parent.removed) return ERRNO.NOENT;
    const cost = bytes + NAME_BYTES + utf8Length(entry.name);
    if (this.#bytes + cost > this.limits.fsBytes) return this.#full();
    if (this.#inodes + 1 > this.limits.fsInodes) return this.#full();
    this.#grow(cost);
    this.#inodes++;
    return 0;
  }

  #grow(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#peakBytes) this.#peakBytes = this.#bytes;
  }

  #add(entry: DirectoryEntry, inode: Inode, now: Timestamp): void {
    entry.parent.set(entry.name, inode);
    this.#shared?.entry(entry.parent, entry.name, inode);
    entry.parent.mtim = entry.parent.ctim = now;
  }

  #remove(entry: DirectoryEntry, now: Timestamp): void {
    entry.parent.delete(entry.name);
    this.#shared?.removal(entry.parent, entry.name);
    entry.parent.mtim = entry.parent.ctim = now;
    this.#bytes -= NAME_BYTES + utf8Length(entry.name);
  }

  /** Content of a file for modification. */
  #contentOf(file: FileInode): FileContent {
    if (file.content === NO_CONTENT) {
      file.content = new FileContent();
      file.content.memory = this.#shared?.contentOf(file);
    }
    return file.content;
  }

  #dropName(inode: Inode, now: Timestamp): void {
    inode.nlink--;
    inode.ctim = now;
    if (inode instanceof DirectoryInode) inode.removed = true;
    if (inode.nlink > 0) this.#inodes--;
    else if (inode.opens === 0) this.#free(inode);
  }

  #free(inode: Inode): void {
    this.#inodes--;
    this.#bytes -= INODE_BYTES;
    if (inode instanceof FileInode) {
      this.#bytes -= inode.content.size;
      inode.content.memory?.release(inode.content);
    } else if (inode instanceof SymlinkInode) this.#bytes -= inode.targetBytes.length;
  }
}

/** Whether an inode is part of every tree, so that its name cannot change. */
function isBuiltIn(inode: Inode | undefined): boolean {
  return inode instanceof DeviceInode || (inode instanceof DirectoryInode && inode.isBuiltIn);
}

/** Checks whether rename(2) allows an inode to replace another; returns an errno. */
function replaceable(inode: Inode, present: Inode): number {
  if (!(inode instanceof DirectoryInode)) {
    return present instanceof DirectoryInode ? ERRNO.ISDIR : 0;
  }
  if (!(present instanceof DirectoryInode)) return ERRNO.NOTDIR;
  return present.count > 0 ? ERRNO.NOTEMPTY : 0;
}
