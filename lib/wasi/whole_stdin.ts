/**
 * Makes a guest's view of standard input independent of the time at which its bytes arrive.
 *
 * @module
 */
import type { WasiHost } from "./wasi_host.ts";

/**
 * Wraps a host so that standard input behaves as if all of it were present before the job starts: a read returns
 * fewer bytes than requested only at the end, and a poll finds bytes or the end. Waiting for the sender is invisible
 * to a guest with virtual clocks, so nothing is buffered, whatever the size of the input.
 */
export function createWholeStdin(host: WasiHost): WasiHost {
  return {
    beforeCall: host.beforeCall,
    wait: (ms, watchStdin) => host.wait(ms, watchStdin),
    write: (stream, data) => host.write(stream, data),
    exhausted: (reason) => host.exhausted(reason),
    readStdin(buffer) {
      let done = 0;
      while (done < buffer.length) {
        const count = host.readStdin(done === 0 ? buffer : buffer.subarray(done));
        if (count === 0) break;
        done += count;
      }
      return done;
    },
    stdinReady() {
      let ready = host.stdinReady();
      while (ready.bytes === 0 && !ready.ended) {
        host.wait(Infinity, true);
        ready = host.stdinReady();
      }
      // How many bytes have arrived depends on time; that there are some does not.
      return ready.bytes > 0 ? { bytes: 1, ended: false } : ready;
    },
  };
}
