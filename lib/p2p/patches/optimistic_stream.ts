/**
 * Optimistic protocol negotiation: sends data together with the protocol proposal, which saves one round trip a stream.
 * multistream-select permits it.
 *
 * @module
 */
import type { Connection, Stream } from "@libp2p/interface";
import { concat } from "../../util/mod.ts";

/** First line of both sides: https://github.com/multiformats/multistream-select. */
const HEADER = "/multistream/1.0.0";

/** Open streams for one protocol on one connection; libp2p's own limit. */
const MAX_STREAMS = 64;

/** A stream whose protocol the peer has not accepted yet. */
export interface OptimisticStream {
  /** Carries data in both directions at once. */
  stream: Stream;
  /** First bytes that the peer sends if it speaks the protocol; otherwise its data must not be used. */
  header: Uint8Array;
}

/** Field of libp2p's connection that its interface hides. */
interface Muxed {
  muxer?: { createStream(options: { signal: AbortSignal }): Promise<Stream> };
}

/** Encodes one line of multistream-select: length in one byte, text, line feed. */
function line(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\n`);
  return concat([new Uint8Array([bytes.length]), bytes]);
}

/**
 * First bytes of each side that agrees on a protocol with a name of less than 127 characters.
 *
 * @throws {RangeError} If the name is longer.
 */
export function multistreamHeader(protocol: string): Uint8Array {
  if (protocol.length >= 127) throw new RangeError(`Protocol name is too long: ${protocol}`);
  return concat([line(HEADER), line(protocol)]);
}

/**
 * Opens a stream and proposes a protocol. The incoming bytes start with {@linkcode multistreamHeader} if the peer speaks it;
 * otherwise they must not be used.
 *
 * @throws {Error} If the connection is closed or too many streams are open.
 */
export async function openOptimisticStream(
  connection: Connection,
  protocol: string,
  { signal }: { signal: AbortSignal },
): Promise<Stream> {
  const { muxer } = connection as unknown as Muxed;
  if (muxer === undefined || connection.status !== "open") throw new Error("Connection is closed");
  const open = connection.streams.filter((stream) =>
    stream.direction === "outbound" && stream.protocol === protocol
  );
  if (open.length >= MAX_STREAMS) {
    throw new Error(`Too many streams: open ${open.length}, allowed ${MAX_STREAMS}`);
  }
  const stream = await muxer.createStream({ signal });
  stream.protocol = protocol;
  stream.send(multistreamHeader(protocol));
  return stream;
}
