/**
 * Opens streams for job requests: reuses idle ones, and negotiates new ones optimistically (ADR 9).
 *
 * @module
 */
import { PlasmError } from "../../core/errors/mod.ts";
import type { PlasmNetwork } from "../../p2p/mod.ts";
import type { DialJobOptions } from "../client/mod.ts";
import { type ByteStream, Disconnected, JOB_PROTOCOL, STREAM_REUSE_MS } from "../wire/mod.ts";
import { byteStreamOf, type ReusableByteStream } from "./network_binding.ts";

/** Idle streams to each peer. */
const MAX_IDLE = 4;

/**
 * Part of the node's waiting time in which a stream is reused. The node starts to wait slightly later than the
 * client, but its clock may run faster, and a request on a stream that it has closed must be repeated.
 */
const REUSE_PART = 0.5;

/** Opens a new stream to a peer. */
export type StreamOpener = (
  peerId: string,
  options: Pick<DialJobOptions, "signal" | "isFresh">,
) => Promise<ReusableByteStream>;

interface IdleStream {
  stream: ReusableByteStream;
  /** Reuse deadline on the monotonic clock. */
  until: number;
}

/** Pool of streams. Each stream carries one request at a time. */
export class StreamPool {
  readonly #openNew: StreamOpener;
  readonly #now: () => number;
  readonly #idle = new Map<string, IdleStream[]>();

  /** @param now Monotonic clock, in milliseconds */
  constructor(openNew: StreamOpener, now: () => number = () => performance.now()) {
    this.#openNew = openNew;
    this.#now = now;
  }

  /** Number of idle streams. */
  get size(): number {
    return [...this.#idle.values()].reduce((sum, { length }) => sum + length, 0);
  }

  /**
   * Opens a stream. A repeatable request gets an idle stream if there is one. The node may be closing it at this
   * moment: the caller then repeats the request on another stream.
   *
   * @throws {PlasmError} `no-peer` if the peer cannot be reached
   */
  async open(
    peerId: string,
    { signal, isRepeatable = false, isFresh }: DialJobOptions,
  ): Promise<ByteStream> {
    const idle = isRepeatable ? this.#takeIdle(peerId) : undefined;
    if (idle !== undefined) return this.#lease(peerId, idle);
    const stream = await this.#openNew(peerId, { signal, isFresh });
    stream.ended.then(() => this.#removeIdle(peerId, stream) && close(stream));
    return this.#lease(peerId, stream);
  }

  /** Removes the most recent idle stream that can be reused, and closes those that cannot. */
  #takeIdle(peerId: string): ReusableByteStream | undefined {
    for (let idle; (idle = this.#idle.get(peerId)?.at(-1)) !== undefined;) {
      const { stream, until } = idle;
      this.#removeIdle(peerId, stream);
      if (this.#now() < until && stream.isQuiet()) return stream;
      close(stream);
    }
    return undefined;
  }

  /** Wraps a stream for one request; the wrapper has no effect once the stream is released. */
  #lease(peerId: string, stream: ReusableByteStream): ByteStream {
    let isLeased = true;
    const leased = (): ReusableByteStream => {
      if (!isLeased) throw new Disconnected("The stream was released");
      return stream;
    };
    return {
      read: async () => await leased().read(),
      write: async (bytes) => await leased().write(bytes),
      close: async () => await (isLeased ? stream.close() : undefined),
      abort: (reason) => isLeased ? stream.abort(reason) : undefined,
      endRead: () => isLeased ? stream.endRead() : undefined,
      release: (ms) => {
        if (!isLeased || !this.#addIdle(peerId, stream, ms)) return false;
        isLeased = false;
        return true;
      },
    };
  }

  #addIdle(peerId: string, stream: ReusableByteStream, ms: number): boolean {
    const others = this.#idle.get(peerId) ?? [];
    if (others.length >= MAX_IDLE || !stream.isQuiet()) return false;
    const until = this.#now() + Math.min(ms, STREAM_REUSE_MS) * REUSE_PART;
    this.#idle.set(peerId, [...others, { stream, until }]);
    return true;
  }

  /** Returns whether the stream was idle. */
  #removeIdle(peerId: string, stream: ReusableByteStream): boolean {
    const before = this.#idle.get(peerId) ?? [];
    const rest = before.filter((idle) => idle.stream !== stream);
    if (rest.length > 0) this.#idle.set(peerId, rest);
    else this.#idle.delete(peerId);
    return rest.length < before.length;
  }
}

function close(stream: ByteStream): void {
  stream.endRead();
  stream.close().catch(() => {});
}

/**
 * Removes the peer's multistream header from the start of an optimistic stream.
 *
 * @returns a stream whose `read` throws `no-peer` if the peer sends anything else
 */
export function expectHeader<T extends ByteStream>(stream: T, header: Uint8Array): T {
  let at = 0;
  return {
    ...stream,
    async read() {
      while (true) {
        const bytes = await stream.read();
        if (bytes === null || at === header.length) return bytes;
        const count = Math.min(bytes.length, header.length - at);
        for (let n = 0; n < count; n++) {
          if (bytes[n] === header[at + n]) continue;
          const error = new PlasmError("no-peer", "Cannot use peer: it does not accept jobs");
          stream.abort(error);
          throw error;
        }
        at += count;
        if (count < bytes.length) return bytes.subarray(count);
      }
    },
  };
}

/** Stream pool of each network. */
const pools = new WeakMap<object, StreamPool>();

/** Opens streams for job requests on a network; all dialers of a network share one pool. */
export function jobDialer(
  network: Pick<PlasmNetwork, "dialOptimistic">,
): (peerId: string, options: DialJobOptions) => Promise<ByteStream> {
  let pool = pools.get(network);
  if (pool === undefined) {
    pool = new StreamPool(async (peerId, options) => {
      const { stream, header } = await network.dialOptimistic(peerId, JOB_PROTOCOL, options);
      return expectHeader(byteStreamOf(stream), header);
    });
    pools.set(network, pool);
  }
  return pool.open.bind(pool);
}
