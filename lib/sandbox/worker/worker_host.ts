/**
 * What the WASI shim stands on inside the worker: rings shared with the executor's main thread.
 * @module
 */
import type { WasiHost } from "../../wasi/mod.ts";
import type { OutputRingWriter, RingReader } from "../ipc/mod.ts";

/** Joins the rings to the interface that the shim asks for. */
export function createWorkerHost(stdin: RingReader, output: OutputRingWriter): WasiHost {
  // A word nobody notifies: waiting on it is a sleep that costs no CPU.
  const never = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  return {
    readStdin(buffer: Uint8Array): number {
      stdin.waitSync(Infinity);
      return stdin.readSome(buffer);
    },
    stdinReady(): { bytes: number; ended: boolean } {
      // Closed is asked first: bytes written just before a close must not be taken for none.
      const ended = stdin.closed;
      return { bytes: stdin.fill, ended };
    },
    wait(ms: number, watchStdin: boolean): boolean {
      if (watchStdin) return stdin.waitSync(ms);
      Atomics.wait(never, 0, 0, ms);
      return false;
    },
    write: (stream, data): void => output.write(stream, data),
  };
}
