/**
 * Inodes of the in-memory file system: files, directories and symbolic links.
 *
 * @module
 */
import { FileContent } from "./file_content.ts";
import { NameTable } from "./name_table.ts";

/** File types (`$filetype` of WASI preview1). */
export const FILETYPE = { UNKNOWN: 0, DIRECTORY: 3, REGULAR_FILE: 4, SYMBOLIC_LINK: 7 } as const;

/**
 * File timestamp: a number of clock ticks since the start of the job (a small integer, which V8 stores inline, for
 * 59 hours), or nanoseconds of Unix time as a BigInt if the guest set it.
 */
export type Timestamp = number | bigint;

/** Fields that all inodes have. */
abstract class InodeBase {
  /** Inode number, unique in the job. */
  readonly ino: number;
  /** Number of names. */
  nlink = 1;
  /** Number of open descriptors, which keep an inode without names alive. */
  opens = 0;
  /** Last access; reading does not update it (as with `noatime`). */
  atim: Timestamp;
  /** Last change of the content. */
  mtim: Timestamp;
  /** Last change of content or status. */
  ctim: Timestamp;

  constructor(ino: number, now: Timestamp) {
    this.ino = ino;
    this.atim = now;
    this.mtim = now;
    this.ctim = now;
  }
}

/** Content shared by all empty files: most files of a large tree may be empty. */
export const NO_CONTENT = new FileContent();

/** A regular file. */
export class FileInode extends InodeBase {
  /** File type. */
  readonly type = FILETYPE.REGULAR_FILE;
  /** Content; {@linkcode NO_CONTENT}, which must not be modified, while the file is empty. */
  content: FileContent = NO_CONTENT;
}

/** A symbolic link. */
export class SymlinkInode extends InodeBase {
  /** File type. */
  readonly type = FILETYPE.SYMBOLIC_LINK;
  /** Target path. */
  readonly target: string;
  /** Target path in UTF-8. */
  readonly targetBytes: Uint8Array;

  constructor(ino: number, now: Timestamp, target: string) {
    super(ino, now);
    this.target = target;
    this.targetBytes = new TextEncoder().encode(target);
  }
}

/** Cookie of the first entry: "." and ".." have cookies 0 and 1. */
const FIRST_ENTRY_COOKIE = 2;

/** Fewest removed names that make compaction worthwhile. */
const COMPACT_AFTER = 32;

/**
 * A directory. A removed name stays in the table without an inode and is reused if the name is created again; the
 * table is compacted when removed names outnumber the others. Cookies of `fd_readdir` therefore stay valid across
 * changes, and creating and removing one name repeatedly is cheap.
 */
export class DirectoryInode extends InodeBase {
  /** File type. */
  readonly type = FILETYPE.DIRECTORY;
  /** Parent directory; the root's parent is the root. */
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

  /** Number of entries. */
  get count(): number {
    return this.#count;
  }

  /** Inode under a name, if any. */
  get(name: string): Inode | undefined {
    const row = this.#names.rowOf(name);
    return row < 0 ? undefined : this.#names.valueAt(row);
  }

  /** Adds an entry, or replaces the inode of an existing one, which keeps its cookie. */
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

  /** Removes an entry. */
  delete(name: string): void {
    const names = this.#names;
    const row = names.rowOf(name);
    if (row < 0 || names.valueAt(row) === undefined) return;
    names.setValueAt(row, undefined);
    this.#count--;
    if (names.size > COMPACT_AFTER + 2 * this.#count) this.#compact();
  }

  /** Number of positions, including those of removed names. */
  get positions(): number {
    return this.#names.size;
  }

  /** First position with at least the given cookie. */
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

  /** Inode at a position; undefined if the name was removed. */
  inodeAt(position: number): Inode | undefined {
    return this.#names.valueAt(position);
  }

  /** Name at a position. */
  nameAt(position: number): string {
    return this.#names.nameAt(position);
  }

  /** Cookie of the name at a position; increases with each new name. */
  cookieAt(position: number): number {
    return this.#names.cookieAt(position);
  }

  #compact(): void {
    const old = this.#names;
    this.#names = new NameTable();
    for (let row = 0; row < old.size; row++) {
      const inode = old.valueAt(row);
      if (inode !== undefined) this.#names.add(old.nameAt(row), inode, old.cookieAt(row));
    }
  }
}

/** Any inode. */
export type Inode = FileInode | DirectoryInode | SymlinkInode;
