/**
 * Open descriptors.
 * @module
 */
import { ERRNO } from "../errno.ts";
import type { DirectoryInode, FileInode } from "../fs/inode.ts";

/** What is common to all descriptors. */
interface DescriptorBase {
  /** What may be done with it. */
  rights: number;
  /** What may be done with what is opened under it. */
  inheriting: number;
  /** `$fdflags` bits. */
  flags: number;
}

/** One of the standard streams. */
export interface StreamDescriptor extends DescriptorBase {
  /** Which one. */
  readonly kind: "stdin" | "stdout" | "stderr";
}

/** An open file. */
export interface FileDescriptor extends DescriptorBase {
  /** Tells it from the others. */
  readonly kind: "file";
  /** The file. */
  readonly inode: FileInode;
  /** Where the next read or write is. */
  offset: number;
}

/** An open directory. */
export interface DirectoryDescriptor extends DescriptorBase {
  /** Tells it from the others. */
  readonly kind: "directory";
  /** The directory. */
  readonly inode: DirectoryInode;
  /** Name of a preopen, in UTF-8; undefined where the guest opened it. */
  readonly preopen: Uint8Array | undefined;
}

/** Anything a descriptor can be. */
export type Descriptor = StreamDescriptor | FileDescriptor | DirectoryDescriptor;

/** The table of descriptors; a new one takes the lowest free number, as POSIX has it. */
export class FdTable {
  #table: (Descriptor | undefined)[] = [];
  #open = 0;
  #limit: number;
  // No number below this is free.
  #lowest = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** The descriptor of an unsigned number; undefined if it is not open. */
  get(fd: number): Descriptor | undefined {
    return this.#table[fd];
  }

  /** Whether another descriptor would be over the cap. */
  get full(): boolean {
    return this.#open >= this.#limit;
  }

  /** Adds a descriptor; the caller has asked {@linkcode FdTable.full}. */
  add(descriptor: Descriptor): number {
    let fd = this.#lowest;
    while (this.#table[fd] !== undefined) fd++;
    this.#table[fd] = descriptor;
    this.#lowest = fd + 1;
    this.#open++;
    if (descriptor.kind === "file" || descriptor.kind === "directory") descriptor.inode.opens++;
    return fd;
  }

  /** Takes a descriptor out; the caller releases its inode. */
  remove(fd: number): Descriptor | undefined {
    const descriptor = this.#table[fd];
    if (descriptor === undefined) return undefined;
    this.#table[fd] = undefined;
    this.#open--;
    if (fd < this.#lowest) this.#lowest = fd;
    return descriptor;
  }

  /** Moves a descriptor to the number of another, which `replaced` is told of. */
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
