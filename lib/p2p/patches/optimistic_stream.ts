/**
 * A stream that is used before the other side has agreed to its protocol. multistream-select lets who opens
 * send its own bytes along with what it proposes: that spares a round trip for each stream.
 * @module
 */
import type { Connection, Stream } from "@libp2p/interface";
import { joinBytes } from "../../util/mod.ts";

/** https://github.com/multiformats/multistream-select: each side begins with it. */
const HEADER = "/multistream/1.0.0";

/** Streams that we may have open at once for one protocol on one connection; libp2p's own limit. */
const MAX_STREAMS = 64;

/** What libp2p's connection has besides its interface. */
interface Muxed {
  muxer?: { createStream(options: { signal: AbortSignal }): Promise<Stream> };
}

/** A line of multistream-select: its length in one byte, for ours are short, and a line feed. */
function line(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\n`);
  return joinBytes([new Uint8Array([bytes.length]), bytes]);
}

/**
 * What both sides send first where they agree on a protocol of less than 127 characters.
 *
 * @throws {RangeError} when its name is longer
 */
export function agreementOn(protocol: string): Uint8Array {
  if (protocol.length >= 127) throw new RangeError(`Protocol's name is too long: ${protocol}`);
  return joinBytes([line(HEADER), line(protocol)]);
}

/**
 * Opens a stream and proposes a protocol. What comes on it begins with {@linkcode agreementOn} the protocol,
 * or the other side does not speak it: nothing else that it says may be believed.
 *
 * @throws {Error} when the connection is closed, or too many are open
 */
export async function openEarly(
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
    throw new Error(`${open.length} streams are open, allowed are ${MAX_STREAMS}`);
  }
  const stream = await muxer.createStream({ signal });
  stream.protocol = protocol;
  stream.send(agreementOn(protocol));
  return stream;
}
