/**
 * Implements wasi:filesystem over the job's file tree.
 *
 * @module
 */
import type {
  ComponentValue,
  HostFunction,
  VariantValue,
} from "../../wasm/component/runtime/mod.ts";
import { ERRNO, FSTFLAG, OFLAG } from "../abi.ts";
import {
  type DeviceInode,
  type DirectoryInode,
  type FileInode,
  FILETYPE,
  type Inode,
} from "../fs/inode.ts";
import type { Preopen } from "../fs/inputs.ts";
import { MAX_PATH_BYTES, utf8Length } from "../fs/path_lookup.ts";
import {
  createDirectoryAt,
  createSymlinkAt,
  type FindName,
  linkAt,
  openInode,
  removeDirectoryAt,
  renameAt,
  unlinkFileAt,
} from "../fs/path_operations.ts";
import { type JobSystem, setTimes, sizeOf, unixTimeOf } from "../job_system.ts";
import { CLOCK_RESOLUTION_NS } from "../clock.ts";
import {
  deviceInput,
  deviceOutput,
  fileInput,
  fileOutput,
  readDevice,
  type StreamError,
} from "./streams.ts";
import {
  datetime,
  errorCode,
  nanoseconds,
  NONE,
  ok,
  repOf,
  resource,
  resultOf,
  some,
} from "./wit_values.ts";

/** Flags of a descriptor (`descriptor-flags`). */
const FLAG = { READ: 1, WRITE: 2, MUTATE: 32 } as const;

/** The flag `symlink-follow` of `path-flags`. */
const FOLLOW = 1;

/** Most bytes that one call reads. */
const MAX_READ_BYTES = 2 ** 20;

/** Cases of `descriptor-type`, by file type. */
const TYPES: Readonly<Record<number, number>> = {
  [FILETYPE.UNKNOWN]: 0,
  [FILETYPE.CHARACTER_DEVICE]: 2,
  [FILETYPE.DIRECTORY]: 3,
  [FILETYPE.SYMBOLIC_LINK]: 5,
  [FILETYPE.REGULAR_FILE]: 6,
};

/** The resource `descriptor`. */
interface Descriptor {
  inode: FileInode | DirectoryInode | DeviceInode;
  flags: number;
}

/** The resource `directory-entry-stream`. */
interface EntryStream {
  inode: DirectoryInode;
  /** Cookie of the next entry. */
  next: number;
}

/** Options of {@linkcode createFilesystem}. */
export interface FilesystemOptions {
  /** Directories that are open when the job starts. */
  preopens: readonly Preopen[];
  /** Most open descriptors. */
  openFds: number;
}

/** Functions of wasi:filesystem, and the release of its resources. */
export interface Filesystem {
  /** Functions by interface and name. */
  functions: Record<string, HostFunction>;
  /** Releases a descriptor. */
  dropDescriptor(rep: unknown): void;
}

/** Creates the functions of wasi:filesystem. */
export function createFilesystem(
  system: JobSystem,
  { preopens, openFds }: FilesystemOptions,
): Filesystem {
  const { fs, lookup } = system;
  let open = 0;

  function opened(inode: Descriptor["inode"], flags: number): ComponentValue {
    open++;
    inode.opens++;
    return resource({ inode, flags } satisfies Descriptor);
  }

  /** Resolves a path below a directory into `lookup`; returns an errno. */
  function find(
    directory: ComponentValue,
    path: ComponentValue,
    lastLink: "follow" | "slash" | "keep",
  ): number {
    const { inode } = repOf<Descriptor>(directory);
    if (inode.type !== FILETYPE.DIRECTORY) return ERRNO.NOTDIR;
    const text = path as string;
    if (utf8Length(text) > MAX_PATH_BYTES) return ERRNO.NAMETOOLONG;
    if (text.includes("\0")) return ERRNO.INVAL;
    return lookup.find(inode, text, lastLink);
  }

  const naming = (directory: ComponentValue, path: ComponentValue): FindName => () =>
    find(directory, path, "keep");

  /** Inode at a path, or an errno. */
  function inodeAt(
    directory: ComponentValue,
    flags: ComponentValue,
    path: ComponentValue,
  ): Inode | number {
    const follows = ((flags as number) & FOLLOW) !== 0;
    const errno = find(directory, path, follows ? "follow" : "slash");
    return errno !== 0 ? errno : lookup.inode ?? ERRNO.NOENT;
  }

  function openAt(
    directory: ComponentValue,
    pathFlags: ComponentValue,
    path: ComponentValue,
    openFlags: ComponentValue,
    descriptorFlags: ComponentValue,
  ): ComponentValue {
    const oflags = openFlags as number;
    const access = (descriptorFlags as number) & (FLAG.READ | FLAG.WRITE) || FLAG.READ;
    // Linux open(2) also rejects O_DIRECTORY with O_CREAT since 6.4.
    if ((oflags & OFLAG.DIRECTORY) !== 0 && (oflags & ~OFLAG.DIRECTORY) !== 0) {
      return resultOf(ERRNO.INVAL);
    }
    const isExclusive = (oflags & OFLAG.CREAT) !== 0 && (oflags & OFLAG.EXCL) !== 0;
    const follows = ((pathFlags as number) & FOLLOW) !== 0 && !isExclusive;
    const errno = find(directory, path, follows ? "follow" : "slash");
    if (errno !== 0) return resultOf(errno);
    if (open >= openFds) return resultOf(ERRNO.MFILE);
    const inode = openInode(system, {
      oflags,
      writes: (access & FLAG.WRITE) !== 0,
      mayCreate: true,
      mayTruncate: true,
    });
    if (typeof inode === "number") return resultOf(inode);
    const isDirectory = inode.type === FILETYPE.DIRECTORY;
    return ok(opened(inode, isDirectory ? FLAG.READ | FLAG.MUTATE : access));
  }

  const time = (stamp: Inode["atim"]): VariantValue => {
    const unix = unixTimeOf(system, stamp);
    const ns = typeof unix === "bigint" ? unix : BigInt(unix) * BigInt(CLOCK_RESOLUTION_NS);
    return some(datetime(ns));
  };

  const stat = (inode: Inode): VariantValue =>
    ok([
      { tag: TYPES[inode.type]! },
      BigInt(inode.nlink),
      BigInt(sizeOf(inode)),
      time(inode.atim),
      time(inode.mtim),
      time(inode.ctim),
    ]);

  const hash = (inode: Inode): VariantValue => ok([BigInt(inode.ino), 1n]);

  function changeTimes(
    inode: Inode,
    { access, modification }: { access: ComponentValue; modification: ComponentValue },
  ): VariantValue {
    const request = { atim: 0n, mtim: 0n, flags: 0 };
    const atim = access as VariantValue;
    const mtim = modification as VariantValue;
    if (atim.tag === 1) request.flags |= FSTFLAG.ATIM_NOW;
    if (mtim.tag === 1) request.flags |= FSTFLAG.MTIM_NOW;
    if (atim.tag === 2) {
      request.flags |= FSTFLAG.ATIM;
      request.atim = nanoseconds(atim.value);
    }
    if (mtim.tag === 2) {
      request.flags |= FSTFLAG.MTIM;
      request.mtim = nanoseconds(mtim.value);
    }
    return resultOf(setTimes(system, inode, request));
  }

  /** Inode of a descriptor for reading or writing at an offset, or an errno. */
  function contentOf(
    descriptor: ComponentValue,
    { flag, offset = 0n }: { flag: number; offset?: ComponentValue },
  ): { inode: FileInode | DeviceInode; at: number } | number {
    const { inode, flags } = repOf<Descriptor>(descriptor);
    if (inode.type === FILETYPE.DIRECTORY || (flags & flag) === 0) return ERRNO.BADF;
    const at = Number(offset);
    return Number.isSafeInteger(at) ? { inode, at } : ERRNO.INVAL;
  }

  const methods: Record<string, HostFunction> = {
    "read-via-stream": (self, offset) => {
      const found = contentOf(self, { flag: FLAG.READ, offset });
      if (typeof found === "number") return resultOf(found);
      const { inode, at } = found;
      return ok(resource(
        inode.type === FILETYPE.REGULAR_FILE
          ? fileInput(system, inode, at)
          : deviceInput(system, inode.device),
      ));
    },
    "write-via-stream": (self, offset) => {
      const found = contentOf(self, { flag: FLAG.WRITE, offset });
      if (typeof found === "number") return resultOf(found);
      const { inode, at } = found;
      return ok(resource(
        inode.type === FILETYPE.REGULAR_FILE
          ? fileOutput(system, inode, at)
          : deviceOutput(system, inode.device),
      ));
    },
    "append-via-stream": (self) => {
      const found = contentOf(self, { flag: FLAG.WRITE });
      if (typeof found === "number") return resultOf(found);
      const { inode } = found;
      return ok(resource(
        inode.type === FILETYPE.REGULAR_FILE
          ? fileOutput(system, inode, "end")
          : deviceOutput(system, inode.device),
      ));
    },
    // Content is always in memory, so advice has no effect.
    "advise": (self) => {
      const { inode } = repOf<Descriptor>(self);
      return resultOf(inode.type === FILETYPE.DIRECTORY ? ERRNO.BADF : 0);
    },
    // No content outlives the job, so there is nothing to flush.
    "sync-data": () => ok(),
    "sync": () => ok(),
    "get-flags": (self) => ok(repOf<Descriptor>(self).flags),
    "get-type": (self) => ok({ tag: TYPES[repOf<Descriptor>(self).inode.type]! }),
    "set-size": (self, size) => {
      const { inode, flags } = repOf<Descriptor>(self);
      if (inode.type === FILETYPE.DIRECTORY) return resultOf(ERRNO.BADF);
      // As ftruncate(2) on a descriptor that is not open for writing.
      if (inode.type !== FILETYPE.REGULAR_FILE || (flags & FLAG.WRITE) === 0) {
        return resultOf(ERRNO.INVAL);
      }
      const bytes = Number(size);
      return resultOf(Number.isSafeInteger(bytes) ? fs.resize(inode, bytes) : ERRNO.FBIG);
    },
    "set-times": (self, access, modification) =>
      changeTimes(repOf<Descriptor>(self).inode, { access, modification }),
    "read": (self, length, offset) => {
      const found = contentOf(self, { flag: FLAG.READ, offset });
      if (typeof found === "number") return resultOf(found);
      const { inode, at } = found;
      const wanted = Number(length);
      if (inode.type !== FILETYPE.REGULAR_FILE) {
        const buffer = new Uint8Array(Math.min(wanted, MAX_READ_BYTES));
        const count = inode.device === "stdin" ? 0 : readDevice(system, inode.device, buffer);
        return ok([buffer.subarray(0, count), count < buffer.length]);
      }
      const available = Math.max(0, inode.content.size - at);
      const buffer = new Uint8Array(Math.min(wanted, MAX_READ_BYTES, available));
      const count = inode.content.read(at, buffer, 0, buffer.length);
      return ok([buffer.subarray(0, count), count < wanted && count === available]);
    },
    "write": (self, data, offset) => {
      const found = contentOf(self, { flag: FLAG.WRITE, offset });
      if (typeof found === "number") return resultOf(found);
      const { inode, at } = found;
      const bytes = data as Uint8Array;
      const errno = inode.type === FILETYPE.REGULAR_FILE
        ? fs.write(inode, at, bytes, 0, bytes.length)
        : deviceOutput(system, inode.device).write(bytes);
      return errno === 0 ? ok(BigInt(bytes.length)) : resultOf(errno);
    },
    "read-directory": (self) => {
      const { inode } = repOf<Descriptor>(self);
      if (inode.type !== FILETYPE.DIRECTORY) return resultOf(ERRNO.NOTDIR);
      return ok(resource({ inode, next: 0 } satisfies EntryStream));
    },
    "create-directory-at": (self, path) => resultOf(createDirectoryAt(system, naming(self, path))),
    "stat": (self) => stat(repOf<Descriptor>(self).inode),
    "stat-at": (self, flags, path) => {
      const inode = inodeAt(self, flags, path);
      return typeof inode === "number" ? resultOf(inode) : stat(inode);
    },
    "set-times-at": (self, flags, path, access, modification) => {
      const inode = inodeAt(self, flags, path);
      if (typeof inode === "number") return resultOf(inode);
      return changeTimes(inode, { access, modification });
    },
    "link-at": (self, flags, path, to, toPath) => {
      // Hard links never follow symbolic links, as in wasmtime.
      if (((flags as number) & FOLLOW) !== 0) return resultOf(ERRNO.INVAL);
      return resultOf(linkAt(system, { from: naming(self, path), to: naming(to, toPath) }));
    },
    "open-at": openAt,
    "readlink-at": (self, path) => {
      const inode = inodeAt(self, 0, path);
      if (typeof inode === "number") return resultOf(inode);
      return inode.type === FILETYPE.SYMBOLIC_LINK ? ok(inode.target) : resultOf(ERRNO.INVAL);
    },
    "remove-directory-at": (self, path) => resultOf(removeDirectoryAt(system, naming(self, path))),
    "rename-at": (self, path, to, toPath) =>
      resultOf(renameAt(system, { from: naming(self, path), to: naming(to, toPath) })),
    "symlink-at": (self, target, path) => {
      const text = target as string;
      if (utf8Length(text) > MAX_PATH_BYTES) return resultOf(ERRNO.NAMETOOLONG);
      if (text.includes("\0")) return resultOf(ERRNO.INVAL);
      return resultOf(createSymlinkAt(system, { target: text, find: naming(self, path) }));
    },
    "unlink-file-at": (self, path) => resultOf(unlinkFileAt(system, naming(self, path))),
    "is-same-object": (self, other) =>
      repOf<Descriptor>(self).inode === repOf<Descriptor>(other).inode,
    "metadata-hash": (self) => hash(repOf<Descriptor>(self).inode),
    "metadata-hash-at": (self, flags, path) => {
      const inode = inodeAt(self, flags, path);
      return typeof inode === "number" ? resultOf(inode) : hash(inode);
    },
  };
  return {
    functions: {
      ...Object.fromEntries(
        Object.entries(methods).map((
          [name, call],
        ) => [`wasi:filesystem/types#[method]descriptor.${name}`, call]),
      ),
      "wasi:filesystem/types#[method]directory-entry-stream.read-directory-entry": (self) =>
        ok(nextEntry(repOf<EntryStream>(self))),
      "wasi:filesystem/types#filesystem-error-code": (error) =>
        some(errorCode(repOf<StreamError>(error).errno)),
      "wasi:filesystem/preopens#get-directories": () =>
        preopens.map(({ name, directory }) => [opened(directory, FLAG.READ | FLAG.MUTATE), name]),
    },
    dropDescriptor(rep) {
      open--;
      fs.release((rep as Descriptor).inode);
    },
  };
}

/** The next entry of a directory, if any. */
function nextEntry(stream: EntryStream): VariantValue {
  const { inode } = stream;
  for (let at = inode.find(stream.next); at < inode.positions; at++) {
    const found = inode.inodeAt(at);
    if (found === undefined) continue;
    stream.next = inode.cookieAt(at) + 1;
    return some([{ tag: TYPES[found.type]! }, inode.nameAt(at)]);
  }
  return NONE;
}
