/**
 * Defines the inodes of the in-memory file system: files, symbolic links, devices, and directories with a hash table of names.
 *
 * @module
 */
import { FileContent } from "./file_content.ts";

/** File types (`$filetype` of WASI preview1). */
export const FILETYPE = {
  UNKNOWN: 0,
  CHARACTER_DEVICE: 2,
  DIRECTORY: 3,
  REGULAR_FILE: 4,
  SYMBOLIC_LINK: 7,
} as const;

/**
 * File timestamp: a number of the system clock's ticks since the start of the job (a small integer, which V8 stores
 * inline, for 59 hours), or nanoseconds of Unix time as a BigInt if it does not come from the system's clock.
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

/** Devices in /dev, by name. */
export type DeviceName =
  | "null"
  | "zero"
  | "full"
  | "random"
  | "urandom"
  | "stdin"
  | "stdout"
  | "stderr";

/** A device in /dev. */
export class DeviceInode extends InodeBase {
  /** File type. */
  readonly type = FILETYPE.CHARACTER_DEVICE;
  /** The device. */
  readonly device: DeviceName;

  constructor(ino: number, now: Timestamp, device: DeviceName) {
    super(ino, now);
    this.device = device;
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
  /** Part of every tree: it cannot be removed or renamed. */
  isBuiltIn = false;
  /** Nothing can be created in it. */
  isReadOnly = false;
  /** Returns what a name without an entry refers to. Such names can be opened but are not listed. */
  fallback: ((name: string) => Inode | undefined) | undefined;
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

  /** Inode that a name refers to, if any. */
  get(name: string): Inode | undefined {
    return this.entry(name) ?? this.fallback?.(name);
  }

  /** Inode of an entry, if any. */
  entry(name: string): Inode | undefined {
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
export type Inode = FileInode | DirectoryInode | SymlinkInode | DeviceInode;

/** Words per slot: the hash of a name, and its row plus one (0 if the slot is free). */
const SLOT_WORDS = 2;

/** Initial number of slots, a power of two: most directories have few names. */
const INITIAL_SLOTS = 8;

/** Fields per row: name, value, cookie. */
const ROW_FIELDS = 3;

/** Random hash seed, so that guests cannot choose names that collide. */
const SEED = crypto.getRandomValues(new Int32Array(1))[0]!;

/**
 * Names in insertion order, each with a value and an increasing cookie.
 *
 * Cache misses dominate lookups in large directories. A lookup touches four cache lines (slot, row, name, value), a
 * Map from names to entry objects twice as many.
 */
export class NameTable<Value> {
  /** Number of rows, including those without a value. */
  size = 0;
  #slots = new Int32Array(INITIAL_SLOTS * SLOT_WORDS);
  #rows: unknown[] = [];

  /** Row of a name; -1 if there is none. */
  rowOf(name: string): number {
    const slots = this.#slots;
    const hash = hashOf(name);
    const mask = slots.length - 1;
    for (let at = hash * SLOT_WORDS & mask;; at = at + SLOT_WORDS & mask) {
      const row = slots[at + 1]! - 1;
      if (row < 0) return -1;
      if (slots[at] === hash && this.#rows[row * ROW_FIELDS] === name) return row;
    }
  }

  /** Appends a new name; the cookie must be greater than all others. */
  add(name: string, value: Value, cookie: number): void {
    const own = detached(name);
    // At most half of the slots are used, which keeps probe sequences short.
    if (2 * SLOT_WORDS * this.size >= this.#slots.length) this.#double();
    put(this.#slots, hashOf(own), this.size++);
    this.#rows.push(own, value, cookie);
  }

  /** Name of an existing row. */
  nameAt(row: number): string {
    return this.#rows[row * ROW_FIELDS] as string;
  }

  /** Value of an existing row. */
  valueAt(row: number): Value {
    return this.#rows[row * ROW_FIELDS + 1] as Value;
  }

  /** Cookie of an existing row. */
  cookieAt(row: number): number {
    return this.#rows[row * ROW_FIELDS + 2] as number;
  }

  /** Replaces the value of an existing row. */
  setValueAt(row: number, value: Value): void {
    this.#rows[row * ROW_FIELDS + 1] = value;
  }

  #double(): void {
    const old = this.#slots;
    const slots = this.#slots = new Int32Array(2 * old.length);
    for (let at = 0; at < old.length; at += SLOT_WORDS) {
      if (old[at + 1] !== 0) put(slots, old[at]!, old[at + 1]! - 1);
    }
  }
}

function put(slots: Int32Array, hash: number, row: number): void {
  const mask = slots.length - 1;
  let at = hash * SLOT_WORDS & mask;
  while (slots[at + 1] !== 0) at = at + SLOT_WORDS & mask;
  slots[at] = hash;
  slots[at + 1] = row + 1;
}

/** Hashes a name. The final mixing matters because only the lowest bits select the slot. */
function hashOf(name: string): number {
  let hash = SEED;
  for (let i = 0; i < name.length; i++) {
    // 2^32 divided by the golden ratio, made odd (Fibonacci hashing).
    hash = Math.imul(hash ^ name.charCodeAt(i), 0x9e3779b1);
  }
  hash = Math.imul(hash ^ hash >>> 15, 0x85ebca6b);
  return hash ^ hash >>> 13;
}

/**
 * Copies a string. V8 represents a slice as a view of the original string: a name would retain a path of up to 4096
 * bytes that no limit counts.
 */
function detached(name: string): string {
  return ` ${name}`.slice(1);
}
