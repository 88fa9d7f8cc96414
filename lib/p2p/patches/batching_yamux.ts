/**
 * Yamux muxer that batches small frames and coalesces window updates. The frames on the wire are standard Yamux.
 *
 * Each Yamux frame becomes one Noise message, which is encrypted, decrypted and parsed on its own.
 *
 * @module
 */
import type { StreamMuxerFactory } from "@libp2p/interface";
import { yamux, type YamuxMuxerInit } from "@libp2p/yamux";
import { joinBytes } from "../../util/mod.ts";

/**
 * Smallest increment of the receive window that is announced, in bytes: an eighth of a stream's initial window, so that a sender
 * never waits for it. libp2p announces every byte.
 */
const QUIET_BYTES = 32 * 1024;

/** Largest frame that is batched, in bytes: copying it is cheap compared with a Noise message. */
const SMALL_BYTES = 8 * 1024;

/** Largest batch of small frames, in bytes; one Noise message holds 64 KiB. */
const JOIN_BYTES = 32 * 1024;

/**
 * Microtasks that a small frame waits for others: about the distance between two answers to one message. Waiting for a turn of
 * the event loop would take longer than batching saves.
 */
const JOIN_STEPS = 64;

/** Largest frame type that belongs to a stream (second byte): data and window updates. */
const LAST_STREAM_TYPE = 1;

/** Fields of Yamux's stream that its interface hides. */
interface YamuxStream {
  recvWindow: number;
  recvWindowCapacity: number;
  sendWindowUpdate(): void;
}

/** Bytes in one piece, or several. */
type Bytes = Uint8Array | (Iterable<Uint8Array> & { byteLength: number });

/** What Yamux's muxer has besides its interface. */
interface YamuxMuxer {
  _newStream(...init: unknown[]): YamuxStream;
  send(frame: Bytes): boolean;
}

/** Yamux, for libp2p's configuration. */
export function batchingYamux(init: YamuxMuxerInit): () => StreamMuxerFactory {
  return () => {
    const factory: StreamMuxerFactory = yamux(init)();
    const make = factory.createStreamMuxer.bind(factory);
    factory.createStreamMuxer = (connection) => {
      const muxer = make(connection);
      tellLess(muxer as unknown as YamuxMuxer);
      joinSmall(muxer as unknown as YamuxMuxer);
      return muxer;
    };
    return factory;
  };
}

/** Keeps streams from telling of a little room. */
function tellLess(muxer: YamuxMuxer): void {
  const make = muxer._newStream.bind(muxer);
  muxer._newStream = (...init) => {
    const stream = make(...init);
    const tell = stream.sendWindowUpdate.bind(stream);
    // What it would say besides, that a stream is new or taken, the first data says as well.
    stream.sendWindowUpdate = () => {
      if (stream.recvWindow - stream.recvWindowCapacity >= QUIET_BYTES) tell();
    };
    return stream;
  };
}

/** Sends small frames that follow each other closely together. */
function joinSmall(muxer: YamuxMuxer): void {
  const send = muxer.send.bind(muxer);
  let waiting: Uint8Array[] = [];
  let bytes = 0;
  const flush = (): boolean => {
    if (bytes === 0) return true;
    const frames = waiting.length === 1 ? waiting[0]! : joinBytes(waiting);
    [waiting, bytes] = [[], 0];
    return send(frames);
  };
  const flushSoon = async (): Promise<void> => {
    for (let n = 0; n < JOIN_STEPS; n++) await null;
    try {
      flush();
    } catch {
      // The connection has closed meanwhile: readers and writers get the error.
    }
  };
  muxer.send = (frame) => {
    // Pings measure time, and a farewell is followed by the end of the connection.
    const isOfStream = typeOf(frame) <= LAST_STREAM_TYPE;
    if (isOfStream && frame.byteLength <= SMALL_BYTES && bytes + frame.byteLength <= JOIN_BYTES) {
      if (bytes === 0) void flushSoon();
      // The writer may change its memory afterwards.
      waiting.push(frame instanceof Uint8Array ? frame : joinBytes([...frame]));
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
