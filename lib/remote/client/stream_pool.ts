/**
 * Connections to nodes that wait for another conversation: to open a stream takes both sides longer than to say
 * what is said about a small job.
 * @module
 */
import {
  type ByteStream,
  Disconnected,
  type ReusableByteStream,
  STREAM_REUSE_MS,
} from "../wire/mod.ts";

/** Connections that wait for each peer: as many small jobs at once as are worth it. */
const MAX_KEPT = 4;

/**
 * The part of a node's wait in which a connection is used again. It began to wait when it heard us, a little after
 * we spoke, but its clock may run faster: what is said to one that was given up must be said again.
 */
const SAFE_PART = 0.5;

interface Kept {
  duplex: ReusableByteStream;
  /** Until when it may be used, by the steady clock. */
  until: number;
}

/** Lends connections, and keeps those that come back. One conversation at a time is held on each. */
export class StreamPool {
  readonly #kept = new Map<string, Kept[]>();
  readonly #now: () => number;

  /** @param now Milliseconds of a steady clock. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Connections that wait. */
  get size(): number {
    return [...this.#kept.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /** A connection to the peer on which nothing has been said since its last conversation; undefined without one. */
  take(peerId: string): ByteStream | undefined {
    for (let kept; (kept = this.#kept.get(peerId)?.at(-1)) !== undefined;) {
      const { duplex, until } = kept;
      this.#remove(peerId, duplex);
      if (this.#now() < until && duplex.isQuiet()) return this.#lend(peerId, duplex);
      drop(duplex);
    }
    return undefined;
  }

  /** Gives a new connection to one conversation, which may hand it back by `keep()` and can do nothing to it then. */
  lend(peerId: string, duplex: ReusableByteStream): ByteStream {
    duplex.ended.then(() => this.#remove(peerId, duplex) && drop(duplex));
    return this.#lend(peerId, duplex);
  }

  #lend(peerId: string, duplex: ReusableByteStream): ByteStream {
    let isLent = true;
    const own = (): ReusableByteStream => {
      if (!isLent) throw new Disconnected("The conversation is over");
      return duplex;
    };
    return {
      read: async () => await own().read(),
      write: async (bytes) => await own().write(bytes),
      close: async () => await (isLent ? duplex.close() : undefined),
      abort: (reason) => isLent ? duplex.abort(reason) : undefined,
      endRead: () => isLent ? duplex.endRead() : undefined,
      keep: (ms) => {
        if (!isLent || !this.#keep(peerId, duplex, ms)) return false;
        isLent = false;
        return true;
      },
    };
  }

  #keep(peerId: string, duplex: ReusableByteStream, ms: number): boolean {
    const others = this.#kept.get(peerId) ?? [];
    if (others.length >= MAX_KEPT || !duplex.isQuiet()) return false;
    const until = this.#now() + Math.min(ms, STREAM_REUSE_MS) * SAFE_PART;
    this.#kept.set(peerId, [...others, { duplex, until }]);
    return true;
  }

  /** Whether it was there. */
  #remove(peerId: string, duplex: ReusableByteStream): boolean {
    const before = this.#kept.get(peerId) ?? [];
    const rest = before.filter((kept) => kept.duplex !== duplex);
    if (rest.length > 0) this.#kept.set(peerId, rest);
    else this.#kept.delete(peerId);
    return rest.length < before.length;
  }
}

/** Ends one that is of no more use: the other side has ended, or will hear of it. */
function drop(duplex: ReusableByteStream): void {
  duplex.endRead();
  duplex.close().catch(() => {});
}
