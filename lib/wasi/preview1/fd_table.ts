/**
 * Stores the open descriptors of a job.
 *
 * @module
 */
import { ERRNO } from "../abi.ts";
import type { DeviceInode, DirectoryInode, FileInode } from "../fs/inode.ts";

/** Fields that all descriptors have. */
interface DescriptorBase {
  /** Rights of the descriptor. */
  rights: number;
  /** Rights that descriptors opened through it can have. */
  inheriting: number;
  /** `$fdflags` bits. */
  flags: number;
}

/** A standard stream. */
export interface StreamDescriptor extends DescriptorBase {
  /** The stream. */
  readonly kind: "stdin" | "stdout" | "stderr";
}

/** An open file. */
export interface FileDescriptor extends DescriptorBase {
  /** Discriminant of {@linkcode Descriptor}. */
  readonly kind: "file";
  /** The file. */
  readonly inode: FileInode;
  /** Position of the next read or write. */
  offset: number;
}

/** An open directory. */
export interface DirectoryDescriptor extends DescriptorBase {
  /** Discriminant of {@linkcode Descriptor}. */
  readonly kind: "directory";
  /** The directory. */
  readonly inode: DirectoryInode;
  /** Name of a preopen in UTF-8; undefined if the guest opened the directory. */
  readonly preopen: Uint8Array | undefined;
}

/** An open device that is not a standard stream. */
export interface DeviceDescriptor extends DescriptorBase {
  /** Discriminant of {@linkcode Descriptor}. */
  readonly kind: "device";
  /** The device. */
  readonly inode: DeviceInode;
}

/** Any descriptor. */
export type Descriptor =
  | StreamDescriptor
  | FileDescriptor
  | DirectoryDescriptor
  | DeviceDescriptor;

/** Table of descriptors; new ones get the lowest free number, as in POSIX. */
export class FdTable {
  #table: (Descriptor | undefined)[] = [];
  #open = 0;
  #limit: number;
  /** Lower bound for free numbers. */
  #lowest = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Descriptor with an unsigned number, if open. */
  get(fd: number): Descriptor | undefined {
    return this.#table[fd];
  }

  /** Whether the limit is reached. */
  get full(): boolean {
    return this.#open >= this.#limit;
  }

  /** Adds a descriptor and returns its number; the caller must check {@linkcode FdTable.full} first. */
  add(descriptor: Descriptor): number {
    let fd = this.#lowest;
    while (this.#table[fd] !== undefined) fd++;
    this.#table[fd] = descriptor;
    this.#lowest = fd + 1;
    this.#open++;
    if ("inode" in descriptor) descriptor.inode.opens++;
    return fd;
  }

  /** Removes and returns a descriptor; the caller must release its inode. */
  remove(fd: number): Descriptor | undefined {
    const descriptor = this.#table[fd];
    if (descriptor === undefined) return undefined;
    this.#table[fd] = undefined;
    this.#open--;
    if (fd < this.#lowest) this.#lowest = fd;
    return descriptor;
  }

  /** Moves a descriptor to the number of another, which is passed to `replaced`; returns an errno. */
  renumber(from: number, to: number, replaced: (descriptor: Descriptor) => void): number {
    const moving = this.#table[from];
    const present = this.#table[to];
    if (moving === undefined || present === undefined) return ERRNO.BADF;
    if (from === to) return 0;
    this.remove(from);
    this.#table[to] = moving;
    replaced(present);
    return 0;
  }
}
