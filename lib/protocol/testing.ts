/**
 * Connections in memory, for tests.
 * @module
 */
import { Disconnected, type Duplex } from "./duplex.ts";

/** Bytes on their way before a writer waits. */
const CAPACITY = 64 * 1024;

class Half {
  chunks: Uint8Array[] = [];
  bytes = 0;
  ended = false;
  fault: Error | undefined;
  wake = Promise.withResolvers<void>();

  news(): void {
    this.wake.resolve();
    this.wake = Promise.withResolvers();
  }
}

/** A pair of connected sides, and what a test does to the line between them. */
export interface MemoryPair {
  client: Duplex;
  node: Duplex;
  /** Breaks the line: what has come can still be read. */
  cut(): void;
  /** Resolves when the line is broken or both sides have ended. */
  over: Promise<void>;
}

/** Options of {@linkcode memoryPair}. */
export interface MemoryPairOptions {
  /** Bytes from client to node after which the line breaks. @default {never} */
  cutAfter?: number | undefined;
  /** Bytes from node to client after which the line breaks. @default {never} */
  cutBackAfter?: number | undefined;
}

/** Makes a pair. */
export function memoryPair(options: MemoryPairOptions = {}): MemoryPair {
  const there = new Half();
  const back = new Half();
  const over = Promise.withResolvers<void>();
  const cut = (reason: Error = new Error("The line was cut")): void => {
    for (const half of [there, back]) {
      half.fault ??= new Disconnected(reason.message);
      half.news();
    }
    over.resolve();
  };
  const side = (inward: Half, outward: Half, limit: number): Duplex => {
    let left = limit;
    return {
      async read() {
        while (true) {
          const chunk = inward.chunks.shift();
          if (chunk !== undefined) {
            inward.bytes -= chunk.length;
            inward.news();
            return chunk;
          }
          if (inward.ended) return null;
          if (inward.fault !== undefined) throw inward.fault;
          await inward.wake.promise;
        }
      },
      async write(bytes) {
        for (let at = 0; at < bytes.length;) {
          if (outward.fault !== undefined) throw outward.fault;
          if (outward.bytes >= CAPACITY) {
            await outward.wake.promise;
            continue;
          }
          const part = bytes.slice(at, at + Math.min(CAPACITY - outward.bytes, left));
          outward.chunks.push(part);
          outward.bytes += part.length;
          at += part.length;
          left -= part.length;
          outward.news();
          if (left === 0) cut();
        }
      },
      close() {
        outward.ended = true;
        outward.news();
        if (inward.ended) over.resolve();
        return Promise.resolve();
      },
      abort(reason) {
        inward.chunks = [];
        cut(reason);
      },
      endRead() {
        inward.ended = true;
        inward.news();
      },
    };
  };
  return {
    client: side(back, there, options.cutAfter ?? Infinity),
    node: side(there, back, options.cutBackAfter ?? Infinity),
    cut: () => cut(),
    over: over.promise,
  };
}
