/**
 * A guest without WebAssembly code, for tests: a memory, and calls as a module would make them.
 * @module
 */
import { ALL_RIGHTS, OFLAG } from "./abi.ts";
import type { WasiHost } from "./host.ts";
import { createWasi, type Wasi, type WasiOptions } from "./wasi.ts";

/** What {@linkcode FakeHost} does. */
export interface FakeHostOptions {
  /** Standard input. @default {empty} */
  stdin?: string;
  /** Whether standard input ends after that. @default {true} */
  ended?: boolean;
  /** Called instead of blocking. @default {nothing} */
  onWait?: (ms: number, watchStdin: boolean) => void;
}

/** A host that keeps what is written and never blocks. */
export class FakeHost implements WasiHost {
  /** What was written, by stream. */
  readonly output = { stdout: "", stderr: "" };
  /** Bytes of standard input that are left. */
  stdin: Uint8Array;
  /** Whether standard input ends after them. */
  ended: boolean;
  /** What was asked of {@linkcode WasiHost.wait}. */
  readonly waits: { ms: number; watchStdin: boolean }[] = [];
  #onWait: ((ms: number, watchStdin: boolean) => void) | undefined;

  constructor({ stdin = "", ended = true, onWait }: FakeHostOptions = {}) {
    this.stdin = new TextEncoder().encode(stdin);
    this.ended = ended;
    this.#onWait = onWait;
  }

  readStdin(buffer: Uint8Array): number {
    const count = Math.min(buffer.length, this.stdin.length);
    buffer.set(this.stdin.subarray(0, count));
    this.stdin = this.stdin.subarray(count);
    return count;
  }

  stdinReady(): { bytes: number; ended: boolean } {
    return { bytes: this.stdin.length, ended: this.ended };
  }

  wait(ms: number, watchStdin: boolean): boolean {
    this.waits.push({ ms, watchStdin });
    this.#onWait?.(ms, watchStdin);
    return this.stdin.length > 0 || this.ended;
  }

  write(stream: "stdout" | "stderr", data: Uint8Array): void {
    this.output[stream] += new TextDecoder().decode(data.slice());
  }
}

/** Where the root is open. */
export const ROOT_FD = 3;

// The layout of the memory: results low, then paths, then a large buffer.
const RESULT = 64;
const PATHS = 1024;
const BUFFER = 16 * 1024;

/** Drives a {@linkcode Wasi} through its memory. */
export class FakeGuest {
  /** The guest's memory: 4 pages. */
  readonly memory: WebAssembly.Memory = new WebAssembly.Memory({ initial: 4 });
  /** What it runs on. */
  readonly host: FakeHost;
  /** The shim. */
  readonly wasi: Wasi;
  #free = PATHS;

  constructor(options: Partial<Omit<WasiOptions, "host">> & { host?: FakeHost } = {}) {
    const { host = new FakeHost(), ...rest } = options;
    this.host = host;
    this.wasi = createWasi({
      args: ["guest"],
      env: {},
      inputs: [],
      limits: { fsBytes: 1 << 20, fsInodes: 1000, openFds: 64 },
      ...rest,
      host,
    });
    this.wasi.attach(this.memory);
  }

  /** The memory as numbers. */
  get view(): DataView {
    return new DataView(this.memory.buffer);
  }

  /** The memory as bytes. */
  get bytes(): Uint8Array {
    return new Uint8Array(this.memory.buffer);
  }

  /** Calls a function; strings become a pointer and a length, as for paths. */
  call(name: string, ...args: (number | bigint | string)[]): number {
    this.#free = PATHS;
    const flat = args.flatMap((arg) => typeof arg === "string" ? this.#place(arg) : [arg]);
    const fn = this.wasi.imports[name] as (...args: (number | bigint)[]) => number;
    return fn(...flat);
  }

  /** The u32 that the last call put at {@linkcode RESULT_POINTER}. */
  get result(): number {
    return this.view.getUint32(RESULT, true);
  }

  /** The u64 there. */
  get result64(): bigint {
    return this.view.getBigUint64(RESULT, true);
  }

  /** Opens a path below a descriptor; the new descriptor, or a negative error number. */
  open(
    path: string,
    {
      oflags = 0,
      rights = ALL_RIGHTS,
      inheriting = ALL_RIGHTS,
      fdflags = 0,
      follow = 0,
      at = ROOT_FD,
    } = {},
  ): number {
    const errno = this.call(
      "path_open",
      at,
      follow,
      path,
      oflags,
      BigInt(rights),
      BigInt(inheriting),
      fdflags,
      RESULT,
    );
    return errno === 0 ? this.result : -errno;
  }

  /** Opens a directory for everything that a directory can. */
  openDirectory(path: string, at: number = ROOT_FD): number {
    const rights = ALL_RIGHTS & ~(1 << 6);
    return this.open(path, { oflags: OFLAG.DIRECTORY, rights, at });
  }

  /** Makes a file with that content. */
  create(path: string, content = "", at: number = ROOT_FD): void {
    const fd = this.open(path, { oflags: OFLAG.CREAT | OFLAG.TRUNC, at });
    if (fd < 0) throw new Error(`Cannot create ${path}: errno ${-fd}`);
    if (content !== "") this.write(fd, content);
    this.call("fd_close", fd);
  }

  /** Writes text; the number of bytes, or a negative error number. */
  write(fd: number, text: string, offset?: bigint): number {
    const bytes = new TextEncoder().encode(text);
    this.bytes.set(bytes, BUFFER);
    this.#iovec(bytes.length);
    const errno = offset === undefined
      ? this.call("fd_write", fd, 0, 1, RESULT)
      : this.call("fd_pwrite", fd, 0, 1, offset, RESULT);
    return errno === 0 ? this.result : -errno;
  }

  /** Reads up to `length` bytes as text, or a negative error number. */
  read(fd: number, length = 4096, offset?: bigint): string | number {
    this.#iovec(length);
    const errno = offset === undefined
      ? this.call("fd_read", fd, 0, 1, RESULT)
      : this.call("fd_pread", fd, 0, 1, offset, RESULT);
    return errno === 0 ? this.text(BUFFER, this.result) : -errno;
  }

  /** The content of a file, or a negative error number. */
  readFile(path: string, at: number = ROOT_FD): string | number {
    const fd = this.open(path, { at, follow: 1 });
    if (fd < 0) return fd;
    const text = this.read(fd);
    this.call("fd_close", fd);
    return text;
  }

  /** `$filestat` of a path, or a negative error number. */
  stat(path: string, { follow = 0, at = ROOT_FD } = {}): Filestat | number {
    const errno = this.call("path_filestat_get", at, follow, path, RESULT);
    return errno === 0 ? this.#filestat() : -errno;
  }

  /** `$filestat` of a descriptor, or a negative error number. */
  fdStat(fd: number): Filestat | number {
    const errno = this.call("fd_filestat_get", fd, RESULT);
    return errno === 0 ? this.#filestat() : -errno;
  }

  /** `$fdstat` of a descriptor, or a negative error number. */
  fdstat(fd: number): Fdstat | number {
    const errno = this.call("fd_fdstat_get", fd, RESULT);
    if (errno !== 0) return -errno;
    return {
      type: this.view.getUint8(RESULT),
      flags: this.view.getUint16(RESULT + 2, true),
      rights: Number(this.view.getBigUint64(RESULT + 8, true)),
      inheriting: Number(this.view.getBigUint64(RESULT + 16, true)),
    };
  }

  /** Entries from a cookie on, as many as fit `size` bytes. */
  readdir(fd: number, cookie = 0n, size = 4096): Dirent[] {
    const errno = this.call("fd_readdir", fd, BUFFER, size, cookie, RESULT);
    if (errno !== 0) throw new Error(`Cannot read directory: errno ${errno}`);
    const entries: Dirent[] = [];
    const end = BUFFER + this.result;
    for (let at = BUFFER; at + 24 <= end;) {
      const length = this.view.getUint32(at + 16, true);
      if (at + 24 + length > end) break;
      entries.push({
        next: this.view.getBigUint64(at, true),
        ino: this.view.getBigUint64(at + 8, true),
        type: this.view.getUint8(at + 20),
        name: this.text(at + 24, length),
      });
      at += 24 + length;
    }
    return entries;
  }

  /** Text at an address. */
  text(pointer: number, length: number): string {
    return new TextDecoder().decode(this.bytes.slice(pointer, pointer + length));
  }

  /** One iovec at address 0, over the buffer. */
  #iovec(length: number): void {
    this.view.setUint32(0, BUFFER, true);
    this.view.setUint32(4, length, true);
  }

  #place(text: string): [number, number] {
    const bytes = new TextEncoder().encode(text);
    const pointer = this.#free;
    this.bytes.set(bytes, pointer);
    this.#free += bytes.length;
    return [pointer, bytes.length];
  }

  #filestat(): Filestat {
    const u64 = (at: number) => this.view.getBigUint64(RESULT + at, true);
    return {
      dev: u64(0),
      ino: u64(8),
      type: this.view.getUint8(RESULT + 16),
      nlink: Number(u64(24)),
      size: Number(u64(32)),
      atim: u64(40),
      mtim: u64(48),
      ctim: u64(56),
    };
  }
}

/** Where calls put results: see {@linkcode FakeGuest.result}. */
export const RESULT_POINTER: number = RESULT;

/** Where {@linkcode FakeGuest.read} and {@linkcode FakeGuest.readdir} put what they read. */
export const BUFFER_POINTER: number = BUFFER;

/** A `$filestat`. */
export interface Filestat {
  dev: bigint;
  ino: bigint;
  type: number;
  nlink: number;
  size: number;
  atim: bigint;
  mtim: bigint;
  ctim: bigint;
}

/** A `$fdstat`. */
export interface Fdstat {
  type: number;
  flags: number;
  rights: number;
  inheriting: number;
}

/** A `$dirent` and its name. */
export interface Dirent {
  next: bigint;
  ino: bigint;
  type: number;
  name: string;
}
