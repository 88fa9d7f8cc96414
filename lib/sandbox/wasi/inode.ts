/**
 * What the in-memory file system is made of: files, directories and symbolic links.
 * @module
 */
import { FILETYPE } from "./abi.ts";
import { FileContent } from "./file_content.ts";

/**
 * A point in time: ticks of the coarse clock as a number (what the shim itself notes, without making
 * a BigInt on each write), or nanoseconds as a BigInt (what a guest has set, kept exactly).
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

/** A regular file. */
export class FileInode extends InodeBase {
  /** Kind of inode. */
  readonly type = FILETYPE.REGULAR_FILE;
  /** Its bytes. */
  content: FileContent = new FileContent();
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

/** A name in a directory. */
export interface DirectoryEntry {
  /** The name. */
  readonly name: string;
  /** Where `fd_readdir` finds it; rises with each new name. */
  readonly cookie: number;
  /** What the name leads to; undefined while the name is removed. */
  inode: Inode | undefined;
}

// "." and ".." are cookies 0 and 1.
const FIRST_ENTRY_COOKIE = 2;

// Not worth sweeping for fewer removed names.
const SWEEP_AFTER = 32;

/**
 * A directory. Names are found by a Map (so a name such as `__proto__` is only a name); the order of
 * `fd_readdir` is a list sorted by cookie, so that a cursor is found by bisection.
 *
 * A removed name stays in both without an inode, and comes back to life when it is made again, until
 * removed names outnumber the others and are swept. So a cursor stays valid whatever happens between
 * two calls; and a name that comes and goes in a large directory stays cheap, where V8's Map would
 * walk over every earlier deletion of the same key.
 */
export class DirectoryInode extends InodeBase {
  /** Kind of inode. */
  readonly type = FILETYPE.DIRECTORY;
  /** The directory above; the root's is itself. */
  parent: DirectoryInode;
  /** Removed while open: nothing can be created in it. */
  removed = false;
  #entries = new Map<string, DirectoryEntry>();
  #order: DirectoryEntry[] = [];
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
    return this.#entries.get(name)?.inode;
  }

  /** Adds a name, or makes an existing one lead elsewhere (its cookie stays). */
  set(name: string, inode: Inode): void {
    const present = this.#entries.get(name);
    if (present?.inode === undefined) this.#count++;
    if (present !== undefined) {
      present.inode = inode;
      return;
    }
    const entry = { name: detached(name), cookie: this.#nextCookie++, inode };
    this.#entries.set(entry.name, entry);
    this.#order.push(entry);
  }

  /** Removes a name. */
  delete(name: string): void {
    const entry = this.#entries.get(name);
    if (entry?.inode === undefined) return;
    entry.inode = undefined;
    this.#count--;
    if (this.#order.length > SWEEP_AFTER + 2 * this.#count) {
      this.#order = this.#order.filter((kept) => kept.inode !== undefined);
      this.#entries = new Map(this.#order.map((kept) => [kept.name, kept]));
    }
  }

  /** Position in {@linkcode DirectoryInode.at} of the first entry whose cookie is not below. */
  find(cookie: number): number {
    let low = 0;
    let high = this.#order.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#order[middle]!.cookie < cookie) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** The entry at a position; its inode is undefined if it was removed. */
  at(position: number): DirectoryEntry | undefined {
    return this.#order[position];
  }
}

/**
 * The same text as a string of its own. V8 keeps a slice as a view of the whole string it was cut
 * from: a name would hold a path of up to 4096 bytes in memory that nobody counts.
 */
function detached(name: string): string {
  return ` ${name}`.slice(1);
}

/** Anything a name can lead to. */
export type Inode = FileInode | DirectoryInode | SymlinkInode;
