/**
 * Yamux muxer that batches small frames and coalesces window updates, and limits on the receive windows of streams. The
 * frames on the wire are standard Yamux.
 *
 * Each Yamux frame becomes one Noise message, which is encrypted, decrypted and parsed separately.
 *
 * @module
 */
import type { Connection, Stream, StreamMuxerFactory } from "@libp2p/interface";
import { isLoopback, isPrivate } from "@libp2p/utils";
import { yamux, type YamuxMuxerInit } from "@libp2p/yamux";
import { concat } from "../../util/mod.ts";
import { transportOf } from "../addresses.ts";

/**
 * Smallest increment of the receive window that is announced, in bytes: an eighth of a stream's initial window, so that
 * a sender never waits for it. libp2p announces every byte.
 */
const MIN_WINDOW_UPDATE_BYTES = 32 * 1024;

/** Largest frame that is batched, in bytes: copying it is cheap compared with a Noise message. */
const SMALL_FRAME_BYTES = 8 * 1024;

/** Largest batch of small frames, in bytes; one Noise message carries 64 KiB. */
const BATCH_BYTES = 32 * 1024;

/**
 * Microtasks that a small frame waits for others: about the distance between two responses to one message. A turn of
 * the event loop would take longer than batching saves.
 */
const BATCH_STEPS = 64;

/** Largest frame type that belongs to a stream (second byte): data and window updates. */
const LAST_STREAM_TYPE = 1;

/** Fields of Yamux's stream that its interface hides. */
interface YamuxStream {
  recvWindow: number;
  recvWindowCapacity: number;
  sendWindowUpdate(): void;
  maxStreamWindowSize?: number;
}

/** Bytes in one piece or several. */
type Bytes = Uint8Array | (Iterable<Uint8Array> & { byteLength: number });

/** Methods of Yamux's muxer that its interface hides. */
interface YamuxMuxer {
  _newStream(...init: unknown[]): YamuxStream;
  send(frame: Bytes): boolean;
}

/** Yamux for libp2p's configuration. */
export function batchingYamux(init: YamuxMuxerInit): () => StreamMuxerFactory {
  return () => {
    const factory: StreamMuxerFactory = yamux(init)();
    const create = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection) => {
      const muxer = create(connection);
      coalesceWindowUpdates(muxer as unknown as YamuxMuxer);
      batchSmallFrames(muxer as unknown as YamuxMuxer);
      return muxer;
    };
    return factory;
  };
}

/** Suppresses window updates of less than {@linkcode MIN_WINDOW_UPDATE_BYTES}. */
function coalesceWindowUpdates(muxer: YamuxMuxer): void {
  const create = muxer._newStream.bind(muxer);
  muxer._newStream = (...init) => {
    const stream = create(...init);
    const send = stream.sendWindowUpdate.bind(stream);
    // An update also carries SYN and ACK, but so does the first data frame.
    stream.sendWindowUpdate = () => {
      if (stream.recvWindow - stream.recvWindowCapacity >= MIN_WINDOW_UPDATE_BYTES) send();
    };
    return stream;
  };
}

/** Joins small frames that follow each other within {@linkcode BATCH_STEPS} microtasks into one write. */
function batchSmallFrames(muxer: YamuxMuxer): void {
  const send = muxer.send.bind(muxer);
  let batch: Uint8Array[] = [];
  let bytes = 0;
  const flush = (): boolean => {
    if (bytes === 0) return true;
    const frames = batch.length === 1 ? batch[0]! : concat(batch);
    [batch, bytes] = [[], 0];
    return send(frames);
  };
  const flushSoon = async (): Promise<void> => {
    for (let n = 0; n < BATCH_STEPS; n++) await null;
    try {
      flush();
    } catch {
      // The connection has closed; its readers and writers receive the error.
    }
  };
  muxer.send = (frame) => {
    // Pings measure time, and GoAway precedes the end of the connection: send both at once.
    const isBatched = typeOf(frame) <= LAST_STREAM_TYPE &&
      frame.byteLength <= SMALL_FRAME_BYTES && bytes + frame.byteLength <= BATCH_BYTES;
    if (isBatched) {
      if (bytes === 0) void flushSoon();
      // Copied, because the writer may change its memory afterwards.
      batch.push(frame instanceof Uint8Array ? frame : concat([...frame]));
      bytes += frame.byteLength;
      return true;
    }
    flush();
    return send(frame);
  };
}

function typeOf(frame: Bytes): number {
  const [header] = frame instanceof Uint8Array ? [frame] : frame;
  return header?.[1] ?? LAST_STREAM_TYPE + 1;
}

/**
 * Largest receive window of a stream, in bytes, and so the memory that a peer can occupy: Yamux's default of 16 MiB
 * would be 1 GiB for a connection with 64 streams. 2 MiB carry 40 MB/s over a round trip of 50 ms; in a test there
 * 1 MiB reached 10 MB/s, 2 and 16 MiB both 15.
 */
export const MAX_STREAM_WINDOW_BYTES: number = 2 * 2 ** 20;

/**
 * Window for QUIC on a near network, in bytes: Yamux's initial one. Linux buffers 208 KiB of packets a socket, which
 * Deno cannot change, and drops packets that arrive while the thread is busy; BBR does not slow down for that. With the
 * full window two of five packets were lost on loopback, with this one one of twenty.
 */
const NEAR_QUIC_WINDOW_BYTES: number = 256 * 1024;

/** Longest round trip of a near network, in milliseconds: the smaller window carries 13 MB/s over it. */
const NEAR_RTT_MS = 20;

/** Limits the receive window of a new stream according to its connection. */
export function limitReceiveWindow(
  stream: Stream,
  { remoteAddr, rtt = 0 }: Pick<Connection, "remoteAddr" | "rtt">,
): void {
  const isNear = rtt <= NEAR_RTT_MS && (isLoopback(remoteAddr) || isPrivate(remoteAddr));
  if (!isNear || transportOf(remoteAddr) !== "quic") return;
  const hidden = stream as unknown as Partial<YamuxStream>;
  // Without this field the stream still works but loses more packets.
  if (hidden.maxStreamWindowSize === undefined) return;
  hidden.maxStreamWindowSize = NEAR_QUIC_WINDOW_BYTES;
}
