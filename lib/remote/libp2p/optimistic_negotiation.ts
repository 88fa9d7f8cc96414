/**
 * A connection whose other side must first say that it speaks our protocol.
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { ByteStream } from "../wire/mod.ts";

/**
 * Takes bytes off the front of what comes; what is written goes at once.
 *
 * @returns a duplex whose `read` throws `no-peer` where something else comes
 */
export function expectAgreement<T extends ByteStream>(duplex: T, agreement: Uint8Array): T {
  let at = 0;
  return {
    ...duplex,
    async read() {
      while (true) {
        const bytes = await duplex.read();
        if (bytes === null || at === agreement.length) return bytes;
        const count = Math.min(bytes.length, agreement.length - at);
        for (let n = 0; n < count; n++) {
          if (bytes[n] === agreement[at + n]) continue;
          const error = new PlasmError("no-peer", "Cannot ask peer: it does not take jobs");
          duplex.abort(error);
          throw error;
        }
        at += count;
        if (count < bytes.length) return bytes.subarray(count);
      }
    },
  };
}
