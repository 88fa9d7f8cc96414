/**
 * What the families of functions share.
 * @module
 */
import { ERRNO } from "../errno.ts";
import type { Clocks } from "../clock.ts";
import type { DirectoryDescriptor, FdTable } from "./fd_table.ts";
import type { FileSystem } from "../fs/file_system.ts";
import type { GuestMemory } from "./guest_memory.ts";
import type { LastLink, PathLookup } from "../fs/path_lookup.ts";

/** The state of one job. */
export interface WasiContext {
  /** The guest's memory. */
  readonly memory: GuestMemory;
  /** Open descriptors. */
  readonly fds: FdTable;
  /** The tree. */
  readonly fs: FileSystem;
  /** The one lookup, used again for each path. */
  readonly lookup: PathLookup;
  /** The clocks. */
  readonly clocks: Clocks;
  /** The worker around. */
  readonly host: WasiHost;
}

/**
 * A preview1 function: the guest's numbers in, an error number out. i32 arrive signed, so each
 * function makes pointers, lengths and descriptors unsigned (`>>> 0`); i64 arrive as BigInt.
 */
export type WasiFunction = (...args: never[]) => number;

/** A family of functions by their names in the witx. */
export type WasiFunctions = Record<string, WasiFunction>;

/** The directory descriptor of a path call; an error number if it is none or lacks the rights. */
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

/** Looks a guest's path up; the outcome is in `context.lookup`. */
export function lookUp(
  context: WasiContext,
  directory: DirectoryDescriptor,
  { pointer, length, lastLink }: { pointer: number; length: number; lastLink: LastLink },
): number {
  const path = context.memory.path(pointer >>> 0, length >>> 0);
  if (typeof path === "number") return path;
  return context.lookup.find(directory.inode, path, lastLink);
}

/** The three standard streams and the one way to wait; everything else a job sees is in memory. */
export interface WasiHost {
  /**
   * Reads up to `buffer.length` bytes of standard input, blocking until at least one byte or the
   * end; 0 is the end. `buffer` is a view of guest memory.
   */
  readStdin(buffer: Uint8Array): number;
  /** What could be read without blocking. */
  stdinReady(): { bytes: number; ended: boolean };
  /**
   * Blocks without spinning until `ms` have passed (Infinity allowed) or, when `watchStdin`, until
   * stdin is readable; true if readable.
   */
  wait(ms: number, watchStdin: boolean): boolean;
  /**
   * Takes all bytes, blocking while the reader is slow. May throw (output limit): the shim lets it
   * pass through. `data` is a view of guest memory: the host copies.
   */
  write(stream: "stdout" | "stderr", data: Uint8Array): void;
}

/**
 * Thrown by `proc_exit`. Code that uses the exception handling proposal can catch it (`catch_all`),
 * as anything that JavaScript throws but a trap: who runs such code ends it with a trap instead.
 */
export class WasiExit extends Error {
  /** The guest's exit code, 0 to 4294967295. */
  readonly code: number;

  constructor(code: number) {
    super(`Guest exited: ${code}`);
    this.name = "WasiExit";
    this.code = code;
  }
}
