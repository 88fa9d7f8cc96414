/**
 * Writing to standard output and standard error.
 * @module
 */
import { IOVEC_SIZE } from "./abi.ts";
import type { WasiContext } from "./call_context.ts";

// C's stdio writes its buffer and the caller's bytes as two iovecs. Joining short ones halves the
// number of times the host is asked; long ones are not worth the copy.
const JOIN_BYTES = 4096;

/** Hands checked iovecs to the host. */
export class StreamWriter {
  #context: WasiContext;
  /** Made when it is needed: many a job writes nothing in parts. */
  #joined: Uint8Array | undefined;

  constructor(context: WasiContext) {
    this.#context = context;
  }

  /** Writes all; returns how many bytes that were. What the host throws passes through. */
  write(stream: "stdout" | "stderr", iovs: number, count: number): number {
    const { memory, host } = this.#context;
    let done = 0;
    let held = 0;
    let joined: Uint8Array | undefined;
    for (let at = iovs; at < iovs + count * IOVEC_SIZE; at += IOVEC_SIZE) {
      const pointer = memory.view.getUint32(at, true);
      const length = memory.view.getUint32(at + 4, true);
      if (length === 0) continue;
      if (count > 1 && held + length <= JOIN_BYTES) {
        joined ??= this.#joined ??= new Uint8Array(JOIN_BYTES);
        joined.set(memory.bytes.subarray(pointer, pointer + length), held);
        held += length;
      } else {
        if (held > 0) host.write(stream, joined!.subarray(0, held));
        held = 0;
        host.write(stream, memory.bytes.subarray(pointer, pointer + length));
      }
      done += length;
    }
    if (held > 0) host.write(stream, joined!.subarray(0, held));
    return done;
  }
}
