/**
 * Defines the host's side of a job, and marks its exceptions.
 *
 * @module
 */

/** Standard streams and waiting, which the worker provides; everything else that a guest can access is in memory. */
export interface WasiHost {
  /** Called before each call of the guest; may end the guest by an exception. @default {none} */
  beforeCall?: (() => void) | undefined;
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
  /**
   * Ends the guest because the machine, and not the job, lacks resources. Only in the deterministic profile; otherwise
   * the guest gets an errno.
   */
  exhausted(reason: string): never;
}

/** Last exception of the host, which must reach the worker, as opposed to faults in this code. */
export interface HostException {
  thrown: unknown;
}

/** Wraps a host to mark its exceptions. */
export function watchHost(inner: WasiHost): { host: WasiHost; raised: HostException } {
  const raised: HostException = { thrown: undefined };
  const pass = <T>(call: () => T): T => {
    try {
      return call();
    } catch (error) {
      raised.thrown = error;
      throw error;
    }
  };
  const host: WasiHost = {
    beforeCall: inner.beforeCall,
    readStdin: (buffer) => pass(() => inner.readStdin(buffer)),
    stdinReady: () => pass(() => inner.stdinReady()),
    wait: (ms, watchStdin) => pass(() => inner.wait(ms, watchStdin)),
    exhausted: (reason) => pass(() => inner.exhausted(reason)),
    write(stream, data) {
      // Written out instead of using pass(): guests may call this a million times a second.
      try {
        inner.write(stream, data);
      } catch (error) {
        raised.thrown = error;
        throw error;
      }
    },
  };
  return { host, raised };
}
