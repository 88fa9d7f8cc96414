/**
 * What the shim needs from the worker around it, and how a guest's exit leaves the shim.
 * @module
 */

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
