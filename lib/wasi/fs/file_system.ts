/**
 * The job's private tree of inodes, and what it may grow to.
 * @module
 */
import { ERRNO } from "../errno.ts";
import { utf8Length } from "./path_lookup.ts";
import { FileContent } from "./file_content.ts";
import {
  DirectoryInode,
  FileInode,
  type Inode,
  NO_CONTENT,
  SymlinkInode,
  type Timestamp,
} from "./inode.ts";

/**
 * What an inode counts besides its content, in bytes: about what its objects take in V8, so that
 * empty files cannot take more memory than the cap says.
 */
export const INODE_BYTES = 512;

/** What a name counts besides its own bytes: its entry in the directory's map and list. */
export const NAME_BYTES = 128;

/** Most names one inode may have, as in ext4. */
const MAX_LINKS = 65_000;

/** Caps of {@linkcode FileSystem}. */
export interface FileSystemLimits {
  /** Content (logical size, holes included), names, link targets and fixed costs, in bytes. */
  fsBytes: number;
  /** Files, directories, symbolic links, and hard links beyond an inode's first name. */
  fsInodes: number;
}

/** A name in a directory. */
export interface Place {
  /** The directory. */
  parent: DirectoryInode;
  /** The name in it; it need not exist. */
  name: string;
}

/**
 * A tree of inodes with caps. Methods answer an error number (0 is success) and change nothing when
 * they fail. The byte cap counts logical sizes: what it holds is then the same on every node, and a
 * sparse file cannot be grown past it.
 */
export class FileSystem {
  /** The top directory. */
  readonly root: DirectoryInode;
  /** The caps. */
  readonly limits: Readonly<FileSystemLimits>;
  #now: () => Timestamp;
  #bytes = INODE_BYTES;
  #peakBytes = INODE_BYTES;
  #inodes = 1;
  #nextIno = 1;

  constructor(limits: FileSystemLimits, now: () => Timestamp) {
    this.limits = limits;
    this.#now = now;
    this.root = new DirectoryInode(this.#nextIno++, now(), undefined);
  }

  /** What is counted now, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The most that was counted at once, in bytes. */
  get peakBytes(): number {
    return this.#peakBytes;
  }

  /** Inodes and further hard links now. */
  get inodes(): number {
    return this.#inodes;
  }

  /** Makes an empty file where no name is; an error number if it cannot. */
  createFile(place: Place): FileInode | number {
    const errno = this.#charge(place, INODE_BYTES);
    if (errno !== 0) return errno;
    const now = this.#now();
    const file = new FileInode(this.#nextIno++, now);
    this.#add(place, file, now);
    return file;
  }

  /** Makes an empty directory where no name is; an error number if it cannot. */
  createDirectory(place: Place): DirectoryInode | number {
    const errno = this.#charge(place, INODE_BYTES);
    if (errno !== 0) return errno;
    const now = this.#now();
    const directory = new DirectoryInode(this.#nextIno++, now, place.parent);
    this.#add(place, directory, now);
    return directory;
  }

  /** Makes a symbolic link where no name is. */
  createSymlink(place: Place, target: string): number {
    const errno = this.#charge(place, INODE_BYTES + utf8Length(target));
    if (errno !== 0) return errno;
    const now = this.#now();
    this.#add(place, new SymlinkInode(this.#nextIno++, now, target), now);
    return 0;
  }

  /** Gives an inode that is no directory a further name where no name is. */
  link(place: Place, inode: FileInode | SymlinkInode): number {
    if (inode.nlink >= MAX_LINKS) return ERRNO.MLINK;
    const errno = this.#charge(place, 0);
    if (errno !== 0) return errno;
    inode.nlink++;
    const now = this.#now();
    inode.ctim = now;
    this.#add(place, inode, now);
    return 0;
  }

  /** Removes the name of a file or symbolic link, and the inode with its last name and descriptor. */
  unlink(place: Place, inode: FileInode | SymlinkInode): void {
    const now = this.#now();
    this.#remove(place, now);
    this.#dropName(inode, now);
  }

  /** Removes an empty directory. */
  removeDirectory(place: Place, directory: DirectoryInode): number {
    if (directory.count > 0) return ERRNO.NOTEMPTY;
    const now = this.#now();
    this.#remove(place, now);
    this.#dropName(directory, now);
    return 0;
  }

  /** Moves a name over another or to where none is. */
  rename(from: Place, to: Place, inode: Inode): number {
    const present = to.parent.get(to.name);
    if (present === inode) return 0;
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
      return ERRNO.NOSPC;
    }
    const now = this.#now();
    this.#remove(from, now);
    if (present === undefined) this.#grow(NAME_BYTES + utf8Length(to.name));
    this.#add(to, inode, now);
    inode.ctim = now;
    if (inode instanceof DirectoryInode) inode.parent = to.parent;
    if (present !== undefined) this.#dropName(present, now);
    return 0;
  }

  /** Writes to a file, growing it where needed. */
  write(
    file: FileInode,
    offset: number,
    source: Uint8Array,
    start: number,
    length: number,
  ): number {
    const growth = length === 0 ? 0 : offset + length - file.content.size;
    if (growth > 0) {
      if (this.#bytes + growth > this.limits.fsBytes) return ERRNO.NOSPC;
      this.#grow(growth);
    }
    if (length > 0) contentOf(file).write(offset, source, start, length);
    file.mtim = file.ctim = this.#now();
    return 0;
  }

  /** Cuts a file or extends it with zeros. */
  resize(file: FileInode, size: number): number {
    const growth = size - file.content.size;
    if (growth > 0 && this.#bytes + growth > this.limits.fsBytes) return ERRNO.NOSPC;
    this.#grow(growth);
    if (growth !== 0) contentOf(file).resize(size);
    file.mtim = file.ctim = this.#now();
    return 0;
  }

  /** A descriptor of the inode was closed. */
  release(inode: Inode): void {
    inode.opens--;
    if (inode.nlink === 0 && inode.opens === 0) this.#free(inode);
  }

  #charge(place: Place, bytes: number): number {
    if (place.parent.removed) return ERRNO.NOENT;
    const cost = bytes + NAME_BYTES + utf8Length(place.name);
    if (this.#bytes + cost > this.limits.fsBytes) return ERRNO.NOSPC;
    if (this.#inodes + 1 > this.limits.fsInodes) return ERRNO.NOSPC;
    this.#grow(cost);
    this.#inodes++;
    return 0;
  }

  #grow(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > this.#peakBytes) this.#peakBytes = this.#bytes;
  }

  #add(place: Place, inode: Inode, now: Timestamp): void {
    place.parent.set(place.name, inode);
    place.parent.mtim = place.parent.ctim = now;
  }

  #remove(place: Place, now: Timestamp): void {
    place.parent.delete(place.name);
    place.parent.mtim = place.parent.ctim = now;
    this.#bytes -= NAME_BYTES + utf8Length(place.name);
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
    if (inode instanceof FileInode) this.#bytes -= inode.content.size;
    else if (inode instanceof SymlinkInode) this.#bytes -= inode.targetBytes.length;
  }
}

/** A file's own content, to be changed. */
function contentOf(file: FileInode): FileContent {
  if (file.content === NO_CONTENT) file.content = new FileContent();
  return file.content;
}

/** Whether rename(2) lets an inode take the place of another. */
function replaceable(inode: Inode, present: Inode): number {
  if (!(inode instanceof DirectoryInode)) {
    return present instanceof DirectoryInode ? ERRNO.ISDIR : 0;
  }
  if (!(present instanceof DirectoryInode)) return ERRNO.NOTDIR;
  return present.count > 0 ? ERRNO.NOTEMPTY : 0;
}
