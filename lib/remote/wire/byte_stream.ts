/**
 * Byte streams that the job protocol runs on: the interface, the adapter for libp2p streams, and a buffered reader.
 *
 * @module
 */
import type { Stream } from "@libp2p/interface";
import { MAX_STREAM_WINDOW_BYTES } from "../../p2p/mod.ts";

/** The other side is gone: what was being said may go on over another connection. */
export class Disconnected extends Error {
  override readonly name = "Disconnected";
}

/** A connection of two sides. One reader and one writer at a time. */
export interface ByteStream {
  /**
   * The next bytes; `null` when the other side has ended.
   *
   * @throws {Disconnected} when the connection is lost
   */
  read(): Promise<Uint8Array | null>;
  /**
   * Sends bytes; resolves when more may follow, so that a slow reader holds the writer back. They must not
   * change before that, and may afterwards.
   *
   * @throws {Disconnected} when the connection is lost
   */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends our side, after all that was written. */
  close(): Promise<void>;
  /** Drops the connection; what waits in `read` or `write` rejects. May be called at any time. */
  abort(reason: Error): void;
  /** Takes nothing more from the other side: `read` gives what has come, then `null`. */
  endRead(): void;
  /**
   * Returns the stream to the pool, if possible; it must not be used afterwards.
   *
   * @param ms How long the other side waits for one
   * @returns whether it was taken; it is to be closed otherwise
   */
  keep?(ms: number): boolean;
}

/** A connection that can wait for another conversation. */
export interface ReusableByteStream extends ByteStream {
  /** Resolves when the other side has ended, or the connection is lost. */
  readonly ended: Promise<void>;
  /** Whether both sides may still write, and nothing unread has arrived. */
  isQuiet(): boolean;
}

/** Received bytes that wait for the reader before backpressure is applied. */
const HIGH_WATER_BYTES = 256 * 1024;

/**
 * What libp2p may hold of a paused stream: a pause takes effect only after the muxer's window, and more
 * than this resets the stream. The rest is for what one frame may bring beyond it.
 */
const PAUSED_BYTES: number = MAX_STREAM_WINDOW_BYTES + 2 ** 20;

/** A libp2p stream as a {@linkcode ByteStream}. */
export function byteStreamOf(stream: Stream): ReusableByteStream {
  const queue: Uint8Array[] = [];
  let queued = 0;
  let ended = false;
  let fault: Error | undefined;
  let wake: (() => void) | undefined;
  const end = Promise.withResolvers<void>();
  stream.maxReadBufferLength = PAUSED_BYTES;

  const news = (): void => {
    wake?.();
    wake = undefined;
  };
  let resuming = false;
  const flow = (go: boolean): void => {
    // It would throw, and errors cost time: this is called at the end of each stream.
    if (stream.readStatus === "closed" || stream.readStatus === "closing") return;
    try {
      if (!go) return stream.pause();
      resuming = true;
      stream.resume();
    } catch {
      // The stream has closed: there is nothing left to hold back.
    } finally {
      resuming = false;
    }
    // Resuming hands over all that had come, which may be too much again.
    if (go && !ended && queued > HIGH_WATER_BYTES) flow(false);
  };
  stream.addEventListener("message", ({ data }) => {
    if (ended) return;
    // Piece by piece: joining costs memory and time, and the reader may not need it.
    for (const piece of data instanceof Uint8Array ? [data] : data) queue.push(piece);
    queued += data.byteLength;
    // A pause in the middle of resuming would stop us, but not the muxer, which then fills its buffer.
    if (queued > HIGH_WATER_BYTES && !resuming) flow(false);
    news();
  });
  stream.addEventListener("remoteCloseWrite", () => {
    flow(true);
    ended = true;
    end.resolve();
    news();
  });
  stream.addEventListener("close", ({ error }) => {
    // What came before the end still counts.
    flow(true);
    if (!ended && error !== undefined) fault ??= new Disconnected(error.message, { cause: error });
    ended = true;
    end.resolve();
    news();
  });
  const closed = (): boolean => stream.status !== "open" && stream.status !== "closing";

  return {
    ended: end.promise,
    isQuiet: () => !ended && queue.length === 0 && stream.status === "open",
    async read() {
      while (true) {
        const bytes = queue.shift();
        if (bytes !== undefined) {
          queued -= bytes.length;
          if (queued <= HIGH_WATER_BYTES / 2) flow(true);
          return bytes;
        }
        if (ended || closed()) {
          if (fault !== undefined) throw fault;
          return null;
        }
        await new Promise<void>((resolve) => wake = resolve);
      }
    },
    async write(bytes) {
      try {
        stream.send(bytes);
        // Nothing stays behind in our own buffer: the muxer's window is the only one. Where the connection
        // is full, the bytes are not encrypted yet, and may not change. One that is dropped needs to be drained
        // forever: the end is reported once.
        while (!closed() && (stream.writeBufferLength > 0 || stream.writableNeedsDrain)) {
          await drained(stream);
        }
      } catch (error) {
        throw fault ?? new Disconnected("The connection is closed", { cause: error });
      }
      if (closed()) throw fault ?? new Disconnected("The connection is closed");
    },
    async close() {
      await stream.close().catch(() => {}); // a lost connection is closed as well
    },
    abort(reason) {
      fault ??= new Disconnected(reason.message, { cause: reason });
      ended = true;
      queue.length = 0;
      stream.abort(reason);
      news();
    },
    endRead() {
      ended = true;
      news();
    },
  };
}

function drained(stream: Stream): Promise<void> {
  return new Promise((resolve, reject) => {
    const settle = (event: Event): void => {
      for (const name of ["drain", "idle", "close"] as const) {
        stream.removeEventListener(name, settle);
      }
      if (event.type === "close") reject(new Error("The stream closed"));
      else resolve();
    };
    for (const name of ["drain", "idle", "close"] as const) stream.addEventListener(name, settle);
  });
}

/** What is made ready at first for bytes that are only announced; the rest follows as they come. */
const FIRST_BYTES = 16 * 1024;

/** Reads a stream. One read at a time. */
export class ByteStreamReader {
  readonly #stream: ByteStream;
  #piece: Uint8Array = new Uint8Array();
  #at = 0;
  #buffer: Uint8Array = new Uint8Array();
  /** Bytes received so far, whether or not they were asked for. */
  received = 0;

  constructor(stream: ByteStream) {
    this.#stream = stream;
  }

  /** Whether all that was received has been asked for. */
  get isEmpty(): boolean {
    return this.#at === this.#piece.length;
  }

  /**
   * The next byte; `undefined` when the other side has ended.
   *
   * @throws {Disconnected} when the connection is lost
   */
  async byte(): Promise<number | undefined> {
    if (this.#at === this.#piece.length && !await this.#more()) return undefined;
    return this.#piece[this.#at++];
  }

  /**
   * The next bytes. They are good until the next call: what comes in several pieces is joined in memory that
   * is used again and again.
   *
   * @throws {Disconnected} when the connection ends before
   */
  async take(length: number): Promise<Uint8Array> {
    if (this.#piece.length - this.#at >= length) {
      return this.#piece.subarray(this.#at, this.#at += length);
    }
    for (let have = 0; have < length;) {
      if (this.#at === this.#piece.length && !await this.#more()) {
        throw new Disconnected("The connection ended inside a message");
      }
      const part = this.#piece.subarray(this.#at, this.#at + length - have);
      this.#reserve(have, have + part.length, length);
      this.#buffer.set(part, have);
      this.#at += part.length;
      have += part.length;
    }
    return this.#buffer.subarray(0, length);
  }

  /** Makes room for bytes that have come, and for those announced as far as they are likely to come. */
  #reserve(have: number, needed: number, announced: number): void {
    if (this.#buffer.length >= needed) return;
    const larger = new Uint8Array(Math.min(announced, Math.max(2 * needed, FIRST_BYTES)));
    larger.set(this.#buffer.subarray(0, have));
    this.#buffer = larger;
  }

  async #more(): Promise<boolean> {
    const piece = await this.#stream.read();
    if (piece === null) return false;
    this.#piece = piece;
    this.#at = 0;
    this.received += piece.length;
    return true;
  }
}
