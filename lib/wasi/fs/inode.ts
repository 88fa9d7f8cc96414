/**
 * What the in-memory file system is made of: files, directories and symbolic links.
 * @module
 */
import { FileContent } from "./file_content.ts";
import { NameTable } from "./name_table.ts";

/** File types (`$filetype`). */
export const FILETYPE = { UNKNOWN: 0, DIRECTORY: 3, REGULAR_FILE: 4, SYMBOLIC_LINK: 7 } as const;

/**
 * A point in time: ticks of the coarse clock since the job began as a number (what the shim itself notes;
 * for 59 hours V8 holds it in the inode, as a small integer), or nanoseconds of Unix time as a BigInt
 * (what a guest has set, kept exactly).
 */
export type Timestamp = number | bigint;

/** What all inodes have. */
abstract class InodeBase {
  /** Serial number, unique in the job. */
  readonly ino: number;
  /** Names that lead here. */
  nlink = 1;
  /** Open descriptors; an inode without names lives on until they are closed. */
  opens = 0;
  /** Last access. Reading does not move it (as with `noatime`). */
  atim: Timestamp;
  /** Last change of content. */
  mtim: Timestamp;
  /** Last change of anything. */
  ctim: Timestamp;

  constructor(ino: number, now: Timestamp) {
    this.ino = ino;
    this.atim = now;
    this.mtim = now;
    this.ctim = now;
  }
}

/** The content of all files that are empty: most files of a large tree may be. */
export const NO_CONTENT = new FileContent();

/** A regular file. */
export class FileInode extends InodeBase {
  /** Kind of inode. */
  readonly type = FILETYPE.REGULAR_FILE;
  /** Its bytes; {@linkcode NO_CONTENT}, which must not be changed, until there are any. */
  content: FileContent = NO_CONTENT;
}

/** A symbolic link. */
export class SymlinkInode extends InodeBase {
  /** Kind of inode. */
  readonly type = FILETYPE.SYMBOLIC_LINK;
  /** The path it holds. */
  readonly target: string;
  /** The same, as UTF-8. */
  readonly targetBytes: Uint8Array;

  constructor(ino: number, now: Timestamp, target: string) {
    super(ino, now);
    this.target = target;
    this.targetBytes = new TextEncoder().encode(target);
  }
}

// "." and ".." are cookies 0 and 1.
const FIRST_ENTRY_COOKIE = 2;

// Not worth sweeping for fewer removed names.
const SWEEP_AFTER = 32;

/**
 * A directory. A removed name stays in its table without an inode, and comes back to life when it is made
 * again, until removed names outnumber the others and are swept. So a cursor of `fd_readdir` stays
 * valid whatever happens between two calls, and a name that comes and goes stays cheap.
 */
export class DirectoryInode extends InodeBase {
  /** Kind of inode. */
  readonly type = FILETYPE.DIRECTORY;
  /** The directory above; the root's is itself. */
  parent: DirectoryInode;
  /** Removed while open: nothing can be created in it. */
  removed = false;
  #names = new NameTable<Inode | undefined>();
  #count = 0;
  #nextCookie = FIRST_ENTRY_COOKIE;

  constructor(ino: number, now: Timestamp, parent: DirectoryInode | undefined) {
    super(ino, now);
    this.parent = parent ?? this;
  }

  /** How many names it holds. */
  get count(): number {
    return this.#count;
  }

  /** What a name leads to. */
  get(name: string): Inode | undefined {
    const row = this.#names.rowOf(name);
    return row < 0 ? undefined : this.#names.valueAt(row);
  }

  /** Adds a name, or makes an existing one lead elsewhere (its cookie stays). */
  set(name: string, inode: Inode): void {
    const names = this.#names;
    const row = names.rowOf(name);
    if (row < 0) {
      this.#count++;
      names.add(name, inode, this.#nextCookie++);
      return;
    }
    if (names.valueAt(row) === undefined) this.#count++;
    names.setValueAt(row, inode);
  }

  /** Removes a name. */
  delete(name: string): void {
    const names = this.#names;
    const row = names.rowOf(name);
    if (row < 0 || names.valueAt(row) === undefined) return;
    names.setValueAt(row, undefined);
    this.#count--;
    if (names.size > SWEEP_AFTER + 2 * this.#count) this.#sweep();
  }

  /** How many positions there are, those of removed names too. */
  get positions(): number {
    return this.#names.size;
  }

  /** The first position whose cookie is not below. */
  find(cookie: number): number {
    let low = 0;
    let high = this.#names.size;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#names.cookieAt(middle) < cookie) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** What the name at a position leads to; undefined if it was removed. */
  inodeAt(position: number): Inode | undefined {
    return this.#names.valueAt(position);
  }

  /** The name at a position. */
  nameAt(position: number): string {
    return this.#names.nameAt(position);
  }

  /** Where `fd_readdir` finds the name at a position; rises with each new name. */
  cookieAt(position: number): number {
    return this.#names.cookieAt(position);
  }

  #sweep(): void {
    const old = this.#names;
    this.#names = new NameTable();
    for (let row = 0; row < old.size; row++) {
      const inode = old.valueAt(row);
      if (inode !== undefined) this.#names.add(old.nameAt(row), inode, old.cookieAt(row));
    }
  }
}

/** Anything a name can lead to. */
export type Inode = FileInode | DirectoryInode | SymlinkInode;
