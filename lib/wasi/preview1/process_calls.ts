/**
 * Implements the calls on the process: arguments, environment, clocks, exit, randomness, and sockets, which no job has.
 *
 * @module
 */
import { CLOCK_RESOLUTION_NS, isClock } from "../clock.ts";
import { ERRNO } from "../abi.ts";
import { fillRandom, type WasiContext, WasiExit, type WasiFunctions } from "./call_context.ts";

/** Options of {@linkcode argsEnv}. */
export interface ArgsEnvOptions {
  /** Arguments, including argv[0]. */
  args: readonly string[];
  /** Environment variables. */
  env: Readonly<Record<string, string>>;
}

/** Returns the functions that read arguments and environment variables. */
export function argsEnv(context: WasiContext, options: ArgsEnvOptions): WasiFunctions {
  const args = encodeList(options.args);
  const environ = encodeList(
    // Sorted as RFC 8785 does, so that the order follows from the manifest's hash.
    Object.keys(options.env).sort().map((name) => `${name}=${options.env[name]}`),
  );
  return {
    args_sizes_get: (count: number, size: number) => sizes(context, args, { count, size }),
    args_get: (pointers: number, buffer: number) => list(context, args, { pointers, buffer }),
    environ_sizes_get: (count: number, size: number) => sizes(context, environ, { count, size }),
    environ_get: (pointers: number, buffer: number) => list(context, environ, { pointers, buffer }),
  };
}

/** Strings in the form that guests read. */
interface EncodedList {
  /** NUL-terminated strings in UTF-8. */
  bytes: Uint8Array;
  /** Offset of each string. */
  starts: number[];
}

function encodeList(strings: readonly string[]): EncodedList {
  const encoder = new TextEncoder();
  const parts = strings.map((text) => encoder.encode(`${text}\0`));
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  const starts: number[] = [];
  let at = 0;
  for (const part of parts) {
    starts.push(at);
    bytes.set(part, at);
    at += part.length;
  }
  return { bytes, starts };
}

function sizes(
  { memory }: WasiContext,
  strings: EncodedList,
  target: { count: number; size: number },
): number {
  const count = target.count >>> 0;
  const size = target.size >>> 0;
  if (!memory.ok(count, 4) || !memory.ok(size, 4)) return ERRNO.FAULT;
  memory.view.setUint32(count, strings.starts.length, true);
  memory.view.setUint32(size, strings.bytes.length, true);
  return 0;
}

function list(
  { memory }: WasiContext,
  strings: EncodedList,
  target: { pointers: number; buffer: number },
): number {
  const pointers = target.pointers >>> 0;
  const buffer = target.buffer >>> 0;
  if (!memory.ok(pointers, strings.starts.length * 4)) return ERRNO.FAULT;
  if (!memory.ok(buffer, strings.bytes.length)) return ERRNO.FAULT;
  memory.bytes.set(strings.bytes, buffer);
  strings.starts.forEach((start, i) =>
    memory.view.setUint32(pointers + 4 * i, buffer + start, true)
  );
  return 0;
}

/** Returns the functions that read clocks. */
export function clock({ memory, clocks, use }: WasiContext): WasiFunctions {
  return {
    clock_res_get(id: number, result: number): number {
      if (!isClock(id)) return ERRNO.INVAL;
      if (!memory.ok(result >>> 0, 8)) return ERRNO.FAULT;
      memory.view.setBigUint64(result >>> 0, BigInt(CLOCK_RESOLUTION_NS), true);
      return 0;
    },

    // The requested precision is a hint (typenames.witx: "maximum lag"); all clocks have the same.
    clock_time_get(id: number, _precision: bigint, result: number): number {
      const time = clocks.read(id);
      if (time === undefined) return ERRNO.INVAL;
      if (!memory.ok(result >>> 0, 8)) return ERRNO.FAULT;
      use("clock");
      memory.view.setBigUint64(result >>> 0, time, true);
      return 0;
    },
  };
}

/** Returns the functions for exit, signals, scheduling and randomness. */
export function proc(context: WasiContext): WasiFunctions {
  const { memory } = context;
  return {
    proc_exit(code: number): never {
      throw new WasiExit(code >>> 0);
    },

    // There are no signals; wasmtime returns the same.
    proc_raise: (_signal: number): number => ERRNO.NOTSUP,

    // Jobs are single-threaded.
    sched_yield: (): number => 0,

    random_get(buffer: number, length: number): number {
      if (!memory.ok(buffer >>> 0, length >>> 0)) return ERRNO.FAULT;
      fillRandom(context, buffer >>> 0, length >>> 0);
      return 0;
    },
  };
}

/** Returns the socket functions, which always fail: no descriptor is a socket. */
export function sock({ fds }: WasiContext): WasiFunctions {
  // Guests probe the first descriptors for listening sockets. EBADF for a preopen is what they get if nothing is
  // preopened.
  const fail = (fd: number): number =>
    (fds.get(fd >>> 0)?.kind ?? "directory") === "directory" ? ERRNO.BADF : ERRNO.NOTSOCK;
  return {
    sock_accept: (fd: number, _flags: number, _result: number): number => fail(fd),
    sock_recv: (
      fd: number,
      _iovs: number,
      _count: number,
      _flags: number,
      _size: number,
      _roflags: number,
    ): number => fail(fd),
    sock_send: (fd: number, _iovs: number, _count: number, _flags: number, _size: number): number =>
      fail(fd),
    sock_shutdown: (fd: number, _how: number): number => fail(fd),
  };
}
