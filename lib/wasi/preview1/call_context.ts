/**
 * State that all calls share, the host's side of a job, and the exit of a guest.
 *
 * @module
 */
import { ERRNO } from "../errno.ts";
import type { Clocks } from "../clock.ts";
import type { DirectoryDescriptor, FdTable } from "./fd_table.ts";
import type { FileSystem } from "../fs/file_system.ts";
import type { GuestMemory } from "./guest_memory.ts";
import type { LastLink, PathLookup } from "../fs/path_lookup.ts";

/** State of one job. */
export interface WasiContext {
  /** Linear memory of the guest. */
  readonly memory: GuestMemory;
  /** Open descriptors. */
  readonly fds: FdTable;
  /** File system. */
  readonly fs: FileSystem;
  /** Path resolver, reused for each path. */
  readonly lookup: PathLookup;
  /** Clocks. */
  readonly clocks: Clocks;
  /** Host of the job. */
  readonly host: WasiHost;
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

/** Standard streams and waiting, which the worker provides; everything else that a guest can access is in memory. */
export interface WasiHost {
  /**
   * Reads up to `buffer.length` bytes of standard input into a view of guest memory. Blocks until at least one byte
   * is available; returns 0 at the end of the input.
   */
  readStdin(buffer: Uint8Array): number;
  /** Number of bytes that can be read without blocking, and whether the input has ended. */
  stdinReady(): { bytes: number; ended: boolean };
  /**
   * Blocks without spinning for `ms` milliseconds (Infinity is allowed) or, if `watchStdin` is set, until standard
   * input is readable; returns whether it is.
   */
  wait(ms: number, watchStdin: boolean): boolean;
  /**
   * Writes all bytes of a view of guest memory, which the host copies; blocks while the reader is slow. Exceptions,
   * such as for the output limit, pass through to the worker.
   */
  write(stream: "stdout" | "stderr", data: Uint8Array): void;
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
