/**
 * Open directories: `fd_readdir` and `fd_prestat_*`.
 * @module
 */
import { DIRENT_SIZE, ERRNO, FILETYPE, PRESTAT_SIZE, RIGHT } from "./abi.ts";
import type { WasiContext, WasiFunctions } from "./call_context.ts";
import { MAX_NAME_BYTES } from "../fs/path_lookup.ts";

// One entry is laid out here, whole, then copied as far as it fits.
const entryBytes = new Uint8Array(DIRENT_SIZE + MAX_NAME_BYTES);
const entryView = new DataView(entryBytes.buffer);
const nameBytes = entryBytes.subarray(DIRENT_SIZE);
const encoder = new TextEncoder();

/** The functions about open directories. */
export function fdDir({ memory, fds }: WasiContext): WasiFunctions {
  /** Copies one entry to `at`, or the part of it before `end`; returns where it stopped. */
  function put(
    { at, end }: { at: number; end: number },
    entry: { next: number; ino: number; type: number; name: string },
  ): number {
    const { written } = encoder.encodeInto(entry.name, nameBytes);
    entryView.setBigUint64(0, BigInt(entry.next), true);
    entryView.setBigUint64(8, BigInt(entry.ino), true);
    entryView.setUint32(16, written, true);
    entryView.setUint32(20, entry.type, true);
    const length = Math.min(DIRENT_SIZE + written, end - at);
    memory.bytes.set(entryBytes.subarray(0, length), at);
    return at + length;
  }

  return {
    fd_readdir(
      fd: number,
      buffer: number,
      length: number,
      cookie: bigint,
      result: number,
    ): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor === undefined) return ERRNO.BADF;
      if (descriptor.kind !== "directory") return ERRNO.NOTDIR;
      if ((descriptor.rights & RIGHT.FD_READDIR) === 0) return ERRNO.NOTCAPABLE;
      const start = buffer >>> 0;
      const end = start + (length >>> 0);
      if (!memory.ok(start, length >>> 0) || !memory.ok(result >>> 0, 4)) return ERRNO.FAULT;

      const { inode } = descriptor;
      // Exact for every cookie that was ever given; beyond them there is nothing.
      let next = Number(BigInt.asUintN(64, cookie));
      let at = start;
      if (!inode.removed) {
        const type = FILETYPE.DIRECTORY;
        if (next === 0 && at < end) {
          at = put({ at, end }, { next: ++next, ino: inode.ino, type, name: "." });
        }
        if (next === 1 && at < end) {
          at = put({ at, end }, { next: ++next, ino: inode.parent.ino, type, name: ".." });
        }
      }
      const { positions } = inode;
      for (let position = inode.find(next); at < end && position < positions; position++) {
        const found = inode.inodeAt(position);
        if (found === undefined) continue;
        const { ino, type } = found;
        const name = inode.nameAt(position);
        at = put({ at, end }, { next: inode.cookieAt(position) + 1, ino, type, name });
      }
      memory.view.setUint32(result >>> 0, at - start, true);
      return 0;
    },

    fd_prestat_get(fd: number, result: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor?.kind !== "directory" || descriptor.preopen === undefined) return ERRNO.BADF;
      if (!memory.ok(result >>> 0, PRESTAT_SIZE)) return ERRNO.FAULT;
      // Tag 0 (directory) and its padding, then the name's length.
      memory.view.setUint32(result >>> 0, 0, true);
      memory.view.setUint32((result >>> 0) + 4, descriptor.preopen.length, true);
      return 0;
    },

    fd_prestat_dir_name(fd: number, buffer: number, length: number): number {
      const descriptor = fds.get(fd >>> 0);
      if (descriptor?.kind !== "directory" || descriptor.preopen === undefined) return ERRNO.BADF;
      if (length >>> 0 < descriptor.preopen.length) return ERRNO.NAMETOOLONG;
      if (!memory.ok(buffer >>> 0, descriptor.preopen.length)) return ERRNO.FAULT;
      memory.bytes.set(descriptor.preopen, buffer >>> 0);
      return 0;
    },
  };
}
