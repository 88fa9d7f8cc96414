/**
 * Writes `$filestat` records and sets file times, for calls on descriptors and on paths.
 *
 * @module
 */
import { ERRNO } from "../errno.ts";
import { ALL_FSTFLAGS, FSTFLAG } from "./abi.ts";
import type { WasiContext } from "./call_context.ts";
import type { StreamDescriptor } from "./fd_table.ts";
import type { GuestMemory } from "./guest_memory.ts";
import { DirectoryInode, FileInode, FILETYPE, type Inode, type Timestamp } from "../fs/inode.ts";

/** Device number of the file system; streams have 0. */
const FS_DEVICE = 1;

const STREAM_INO = { stdin: 0, stdout: 1, stderr: 2 } as const;

/** Writes the `$filestat` of an inode to an address that was bounds-checked. */
export function writeFilestat(context: WasiContext, pointer: number, inode: Inode): void {
  const { memory, clocks } = context;
  const unix = (time: Timestamp) => typeof time === "number" ? clocks.unixTicks(time) : time;
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

/** Times that a guest sets. */
export interface TimesRequest {
  /** Access time, in nanoseconds. */
  atim: bigint;
  /** Modification time, in nanoseconds. */
  mtim: bigint;
  /** `$fstflags` bits. */
  flags: number;
}

/** Sets the times of an inode; returns EINVAL if the flags select both a given time and the current time. */
export function setTimes({ clocks }: WasiContext, inode: Inode, request: TimesRequest): number {
  const errno = checkTimes(request.flags);
  if (errno !== 0) return errno;
  const { flags } = request;
  const now = clocks.now();
  if (flags & FSTFLAG.ATIM) inode.atim = BigInt.asUintN(64, request.atim);
  if (flags & FSTFLAG.ATIM_NOW) inode.atim = now;
  if (flags & FSTFLAG.MTIM) inode.mtim = BigInt.asUintN(64, request.mtim);
  if (flags & FSTFLAG.MTIM_NOW) inode.mtim = now;
  inode.ctim = now;
  return 0;
}

function checkTimes(flags: number): number {
  const both = (flag: number) => (flags & flag) === flag;
  if ((flags & ~ALL_FSTFLAGS) !== 0) return ERRNO.INVAL;
  if (both(FSTFLAG.ATIM | FSTFLAG.ATIM_NOW) || both(FSTFLAG.MTIM | FSTFLAG.MTIM_NOW)) {
    return ERRNO.INVAL;
  }
  return 0;
}

function sizeOf(inode: Inode): number {
  if (inode instanceof FileInode) return inode.content.size;
  return inode instanceof DirectoryInode ? 0 : inode.targetBytes.length;
}
