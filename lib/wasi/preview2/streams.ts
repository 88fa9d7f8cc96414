/**
 * Implements wasi:io: streams over standard streams, files and devices, pollables and errors.
 *
 * @module
 */
import {
  AbiError,
  type ComponentValue,
  type HostFunction,
  type VariantValue,
} from "../../wasm/component/runtime/mod.ts";
import { ERRNO } from "../abi.ts";
import type { Deadline } from "../clock.ts";
import type { DeviceName, FileInode } from "../fs/inode.ts";
import type { JobSystem } from "../job_system.ts";
import { err, ok, repOf, resource } from "./wit_values.ts";

/** Most bytes that one call reads. A deterministic job depends on it. */
const MAX_READ_BYTES = 65_536;

/** Number of bytes that a stream accepts at once. */
const WRITE_PERMIT = 2n ** 20n;

/** The resource `error`. */
export interface StreamError {
  /** The errno. */
  errno: number;
}

/** The resource `input-stream`: its end is a read of 0 bytes. */
export interface WasiInput {
  /** Reads into a buffer; returns the number of bytes, or a negative errno. */
  read(buffer: Uint8Array, isBlocking: boolean): number;
  /** Whether a read returns at once; undefined if it always does. */
  isReady?: (() => boolean) | undefined;
  /** Releases what the stream uses. */
  close?(): void;
}

/** The resource `output-stream`. */
export interface WasiOutput {
  /** Writes all bytes; returns an errno. */
  write(data: Uint8Array): number;
  /** Releases what the stream uses. */
  close?(): void;
}

/** Returned by a read that found nothing and must not wait. */
const NOT_READY = -ERRNO.AGAIN;

/** Standard input. */
export function stdinStream({ host, clocks, use }: JobSystem): WasiInput {
  return {
    read(buffer, isBlocking) {
      const { bytes, ended } = host.stdinReady();
      if (bytes > 0) return host.readStdin(buffer);
      if (ended) return 0;
      if (isBlocking) return clocks.blocked(() => host.readStdin(buffer));
      return NOT_READY;
    },
    isReady: () => {
      use("poll");
      const { bytes, ended } = host.stdinReady();
      return bytes > 0 || ended;
    },
  };
}

/** Standard output or standard error. */
export function hostStream({ host }: JobSystem, stream: "stdout" | "stderr"): WasiOutput {
  return {
    write(data) {
      if (data.length > 0) host.write(stream, data);
      return 0;
    },
  };
}

/** Reads a file from an offset. */
export function fileInput({ fs }: JobSystem, inode: FileInode, offset: number): WasiInput {
  let at = offset;
  inode.opens++;
  return {
    read(buffer) {
      const count = inode.content.read(at, buffer, 0, buffer.length);
      at += count;
      return count;
    },
    close: () => fs.release(inode),
  };
}

/** Writes a file from an offset, or at its end. */
export function fileOutput(
  { fs }: JobSystem,
  inode: FileInode,
  offset: number | "end",
): WasiOutput {
  let next = offset;
  inode.opens++;
  return {
    write(data) {
      const at = next === "end" ? inode.content.size : next;
      const errno = fs.write(inode, at, data, 0, data.length);
      if (errno === 0 && next !== "end") next = at + data.length;
      return errno;
    },
    close: () => fs.release(inode),
  };
}

/** Reads a device. */
export function deviceInput(system: JobSystem, device: DeviceName): WasiInput {
  if (device === "stdin") return stdinStream(system);
  return { read: (buffer) => readDevice(system, device, buffer) };
}

/** Reads a device other than a standard stream; returns the number of bytes. */
export function readDevice(
  { random, use }: JobSystem,
  device: DeviceName,
  buffer: Uint8Array,
): number {
  if (device === "null") return 0;
  if (device === "random" || device === "urandom") {
    use("random");
    random.fill(buffer);
  } else buffer.fill(0);
  return buffer.length;
}

/** Writes a device. */
export function deviceOutput(system: JobSystem, device: DeviceName): WasiOutput {
  if (device === "stdout" || device === "stderr") return hostStream(system, device);
  return { write: (data) => device === "full" && data.length > 0 ? ERRNO.NOSPC : 0 };
}

/** The resource `pollable`. */
export interface Pollable {
  /** Whether it is ready; undefined if it always is. */
  isReady?: (() => boolean) | undefined;
  /** When it becomes ready. */
  deadline?: Deadline;
}

/** Waits until a pollable of a list is ready; returns their positions. */
export function waitForPollables(
  { clocks, host, use }: JobSystem,
  list: readonly Pollable[],
): number[] {
  const ready = (): number[] =>
    list.flatMap(({ isReady }, at) => isReady === undefined || isReady() ? [at] : []);
  if (list.length > 1 && list.some(({ isReady }) => isReady !== undefined)) use("poll");
  const deadlines = list.flatMap(({ deadline }) => deadline ?? []);
  const watchStdin = list.some(({ isReady, deadline }) => isReady && deadline === undefined);
  let found = ready();
  while (found.length === 0) {
    clocks.waitFor(deadlines, (ms) => host.wait(ms, watchStdin));
    found = ready();
  }
  return found;
}

/** Returns the functions of wasi:io. */
export function ioFunctions(system: JobSystem): Record<string, HostFunction> {
  const { use } = system;
  let shared: Uint8Array | undefined;
  // The bytes are copied into the component's memory before the next call.
  const buffer = (length: bigint): Uint8Array => {
    shared ??= new Uint8Array(MAX_READ_BYTES);
    return length < MAX_READ_BYTES ? shared.subarray(0, Number(length)) : shared;
  };
  const failed = (errno: number): VariantValue =>
    err({ tag: 0, value: resource({ errno } satisfies StreamError) });
  const CLOSED = err({ tag: 1 });

  function read(stream: WasiInput, length: bigint, isBlocking: boolean): VariantValue {
    const bytes = buffer(length);
    if (bytes.length === 0) return ok(bytes);
    if (!isBlocking && stream.isReady !== undefined) use("poll");
    const count = stream.read(bytes, isBlocking);
    if (count === 0) return CLOSED;
    if (count === NOT_READY) return ok(bytes.subarray(0, 0));
    return count < 0 ? failed(-count) : ok(bytes.subarray(0, count));
  }

  const reading = (isBlocking: boolean): HostFunction => (stream, length) =>
    read(repOf(stream), length as bigint, isBlocking);
  const skipping = (isBlocking: boolean): HostFunction => (stream, length) => {
    const result = read(repOf(stream), length as bigint, isBlocking);
    return result.tag === 0 ? ok(BigInt((result.value as Uint8Array).length)) : result;
  };
  const writing: HostFunction = (stream, data) => {
    const errno = repOf<WasiOutput>(stream).write(data as Uint8Array);
    return errno === 0 ? ok() : failed(errno);
  };
  const zeroing: HostFunction = (stream, length) => {
    for (let left = length as bigint; left > 0n;) {
      const zeros = buffer(left).fill(0);
      const errno = repOf<WasiOutput>(stream).write(zeros);
      if (errno !== 0) return failed(errno);
      left -= BigInt(zeros.length);
    }
    return ok();
  };
  const splicing = (isBlocking: boolean): HostFunction => (to, from, length) => {
    const result = read(repOf(from), length as bigint, isBlocking);
    if (result.tag !== 0) return result;
    const data = result.value as Uint8Array;
    const errno = repOf<WasiOutput>(to).write(data);
    return errno === 0 ? ok(BigInt(data.length)) : failed(errno);
  };
  const done: HostFunction = () => ok();
  return {
    "wasi:io/error#[method]error.to-debug-string": (error) =>
      `error ${repOf<StreamError>(error).errno}`,
    "wasi:io/poll#[method]pollable.ready": (pollable) => {
      const { isReady } = repOf<Pollable>(pollable);
      if (isReady !== undefined) use("poll");
      return isReady === undefined || isReady();
    },
    "wasi:io/poll#[method]pollable.block": (pollable): ComponentValue => {
      waitForPollables(system, [repOf<Pollable>(pollable)]);
      return undefined;
    },
    "wasi:io/poll#poll": (list) => {
      const pollables = (list as ComponentValue[]).map((one) => repOf<Pollable>(one));
      // By the specification: nothing would ever be ready.
      if (pollables.length === 0) throw new AbiError("it polls an empty list");
      return waitForPollables(system, pollables);
    },
    "wasi:io/streams#[method]input-stream.read": reading(false),
    "wasi:io/streams#[method]input-stream.blocking-read": reading(true),
    "wasi:io/streams#[method]input-stream.skip": skipping(false),
    "wasi:io/streams#[method]input-stream.blocking-skip": skipping(true),
    "wasi:io/streams#[method]input-stream.subscribe": (stream) =>
      resource({ isReady: repOf<WasiInput>(stream).isReady } satisfies Pollable),
    "wasi:io/streams#[method]output-stream.check-write": () => ok(WRITE_PERMIT),
    "wasi:io/streams#[method]output-stream.write": writing,
    "wasi:io/streams#[method]output-stream.blocking-write-and-flush": writing,
    "wasi:io/streams#[method]output-stream.flush": done,
    "wasi:io/streams#[method]output-stream.blocking-flush": done,
    "wasi:io/streams#[method]output-stream.subscribe": () => resource({} satisfies Pollable),
    "wasi:io/streams#[method]output-stream.write-zeroes": zeroing,
    "wasi:io/streams#[method]output-stream.blocking-write-zeroes-and-flush": zeroing,
    "wasi:io/streams#[method]output-stream.splice": splicing(false),
    "wasi:io/streams#[method]output-stream.blocking-splice": splicing(true),
  };
}
