/**
 * One QUIC stream, and the connection around it, as a pipe of bytes.
 * @module
 */
import type { BytePipe } from "./byte_pipe.ts";
import { ReadBuffer } from "../../util/mod.ts";

/** How a connection ends that was torn down. */
export const QUIC_RESET: Deno.QuicCloseInfo = { closeCode: 1, reason: "reset" };
/** How a connection ends after both sides wrote and read everything. */
const QUIC_DONE: Deno.QuicCloseInfo = { closeCode: 0, reason: "" };

/** What a {@linkcode quicPipe} is made of. */
export interface QuicPipeInit {
  quic: Deno.QuicConn;
  stream: Deno.QuicBidirectionalStream;
  /** Called once, when the connection is closed. */
  release: () => void;
}

/** Wraps a QUIC stream and its connection, both of which it then owns. */
export function quicPipe({ quic, stream, release }: QuicPipeInit): BytePipe {
  const reader = stream.readable.getReader({ mode: "byob" });
  const buffer = new ReadBuffer();
  const writer = stream.writable.getWriter();
  let open = true;
  let written = false;
  let read = false;
  // Not awaited: read() and write() report their failure.
  reader.closed.catch(() => {});
  writer.closed.catch(() => {});
  return {
    async read() {
      const { value, done } = await reader.read(buffer.space).catch(asReset);
      if (!done) return buffer.take(value);
      read = true;
      return null;
    },
    write: (data) => writer.write(data).catch(asReset),
    async finish() {
      await writer.close().catch(asReset);
      written = true;
    },
    destroy() {
      if (!open) return;
      open = false;
      quic.close(read && written ? QUIC_DONE : QUIC_RESET);
      release();
    },
  };
}

/** Deno says only "Error" where the connection is lost. */
function asReset(error: unknown): never {
  throw new Deno.errors.ConnectionReset("The QUIC connection was lost", { cause: error });
}
