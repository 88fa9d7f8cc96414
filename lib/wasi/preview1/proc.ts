/**
 * `proc_*`, `sched_yield`, `random_get` and the sockets that are not there.
 * @module
 */
import { ERRNO } from "./abi.ts";
import type { WasiContext, WasiFunctions } from "./call_context.ts";
import { WasiExit } from "./wasi_host.ts";

/** Most bytes that `crypto.getRandomValues` gives at once (Web Crypto, section 10.1.1). */
const RANDOM_CHUNK_BYTES = 65_536;

/** The functions about the process, and randomness. */
export function proc({ memory }: WasiContext): WasiFunctions {
  return {
    proc_exit(code: number): never {
      throw new WasiExit(code >>> 0);
    },

    // There are no signals; wasmtime answers the same.
    proc_raise: (_signal: number): number => ERRNO.NOTSUP,

    // A job has one thread.
    sched_yield: (): number => 0,

    random_get(buffer: number, length: number): number {
      const start = buffer >>> 0;
      const end = start + (length >>> 0);
      if (!memory.ok(start, length >>> 0)) return ERRNO.FAULT;
      // Web Crypto does not fill shared memory.
      const shared = !(memory.bytes.buffer instanceof ArrayBuffer);
      for (let at = start; at < end; at += RANDOM_CHUNK_BYTES) {
        const chunk = memory.bytes.subarray(at, Math.min(end, at + RANDOM_CHUNK_BYTES));
        if (shared) chunk.set(crypto.getRandomValues(new Uint8Array(chunk.length)));
        else crypto.getRandomValues(chunk as Uint8Array<ArrayBuffer>);
      }
      return 0;
    },
  };
}

/** The socket functions: no descriptor is ever a socket. */
export function sock({ fds }: WasiContext): WasiFunctions {
  // A directory is no stream at all. Guests probe the first descriptors for listening sockets, and
  // EBADF at the first preopen is what they get where nothing is preopened.
  const refuse = (fd: number): number =>
    (fds.get(fd >>> 0)?.kind ?? "directory") === "directory" ? ERRNO.BADF : ERRNO.NOTSOCK;
  return {
    sock_accept: (fd: number, _flags: number, _result: number): number => refuse(fd),
    sock_recv: (
      fd: number,
      _iovs: number,
      _count: number,
      _flags: number,
      _size: number,
      _roflags: number,
    ): number => refuse(fd),
    sock_send: (fd: number, _iovs: number, _count: number, _flags: number, _size: number): number =>
      refuse(fd),
    sock_shutdown: (fd: number, _how: number): number => refuse(fd),
  };
}
