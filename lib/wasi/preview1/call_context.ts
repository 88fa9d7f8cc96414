/**
 * Defines the state and helpers that all calls share, and the exit of a guest.
 *
 * @module
 */
import { ERRNO } from "../abi.ts";
import type { DirectoryDescriptor, FdTable, StreamDescriptor } from "./fd_table.ts";
import type { GuestMemory } from "./guest_memory.ts";
import type { LastLink } from "../fs/path_lookup.ts";
import { FILETYPE, type Inode, type Timestamp } from "../fs/inode.ts";
import { type JobSystem, sizeOf, unixTimeOf } from "../job_system.ts";

/** State of one job. */
export interface WasiContext extends JobSystem {
  /** Linear memory of the guest. */
  readonly memory: GuestMemory;
  /** Open descriptors. */
  readonly fds: FdTable;
}

/**
 * A preview1 function, which returns an errno. An i32 arrives signed, so each function converts pointers, lengths and
 * descriptors with `>>> 0`; an i64 arrives as a BigInt.
 */
export type WasiFunction = (...args: never[]) => number;

/** Functions by their names in the witx. */
export type WasiFunctions = Record<string, WasiFunction>;

/** Returns the directory descriptor of a path call, or an errno if it is not a directory or lacks rights. */
export function directoryOf(
  context: WasiContext,
  fd: number,
  rights: number,
): DirectoryDescriptor | number {
  const descriptor = context.fds.get(fd >>> 0);
  if (descriptor === undefined) return ERRNO.BADF;
  if (descriptor.kind !== "directory") return ERRNO.NOTDIR;
  return (descriptor.rights & rights) === rights ? descriptor : ERRNO.NOTCAPABLE;
}

/** Resolves a path in guest memory; the result is in `context.lookup`. */
export function lookUp(
  context: WasiContext,
  directory: DirectoryDescriptor,
  { pointer, length, lastLink }: { pointer: number; length: number; lastLink: LastLink },
): number {
  const path = context.memory.path(pointer >>> 0, length >>> 0);
  if (typeof path === "number") return path;
  return context.lookup.find(directory.inode, path, lastLink);
}

/**
 * Thrown by `proc_exit`. Guests with exception handling can catch it (`catch_all`) like any JavaScript exception; the
 * worker ends such guests with a trap instead, which cannot be caught.
 */
export class WasiExit extends Error {
  /** Exit code, 0 to 4294967295. */
  readonly code: number;

  constructor(code: number) {
    super(`Guest exited with code ${code}`);
    this.name = "WasiExit";
    this.code = code;
  }
}

/** Device number of the file system; streams have 0. */
const FS_DEVICE = 1;

const STREAM_INO = { stdin: 0, stdout: 1, stderr: 2 } as const;

/** Writes the `$filestat` of an inode to an address that was bounds-checked. */
export function writeFilestat(context: WasiContext, pointer: number, inode: Inode): void {
  const { memory } = context;
  const unix = (time: Timestamp) => unixTimeOf(context, time);
  memory.setU64(pointer, FS_DEVICE);
  memory.setU64(pointer + 8, inode.ino);
  memory.setU64(pointer + 16, inode.type);
  memory.setU64(pointer + 24, inode.nlink);
  memory.setU64(pointer + 32, sizeOf(inode));
  memory.setTime(pointer + 40, unix(inode.atim));
  memory.setTime(pointer + 48, unix(inode.mtim));
  memory.setTime(pointer + 56, unix(inode.ctim));
}

/** Writes the `$filestat` of a stream to an address that was bounds-checked. */
export function writeStreamFilestat(
  memory: GuestMemory,
  pointer: number,
  { kind }: StreamDescriptor,
): void {
  for (let at = 0; at < 64; at += 8) memory.setU64(pointer + at, 0);
  memory.setU64(pointer + 8, STREAM_INO[kind]);
  memory.setU64(pointer + 16, FILETYPE.UNKNOWN);
}

/** Fills a range of guest memory that was bounds-checked with random bytes. */
export function fillRandom(
  { memory, random, use }: WasiContext,
  start: number,
  length: number,
): void {
  use("random");
  random.fill(memory.bytes.subarray(start, start + length));
}
