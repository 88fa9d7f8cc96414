/**
 * Receive windows of streams: a cap for all, a smaller one for QUIC on a near network.
 *
 * @module
 */
import type { Connection, Stream } from "@libp2p/interface";
import { isLoopback, isPrivate } from "@libp2p/utils";
import { transportOf } from "../addresses.ts";

/**
 * Largest receive window of a stream, in bytes, and so the memory that a peer can occupy: Yamux's default of 16 MiB would be 1 GiB
 * for a connection with 64 streams. 2 MiB carry 40 MB/s over a round trip of 50 ms; in a test there 1 MiB reached 10 MB/s, 2 and
 * 16 MiB both 15.
 */
export const MAX_STREAM_WINDOW_BYTES: number = 2 * 2 ** 20;

/**
 * Window for QUIC on a near network, in bytes: Yamux's initial one. Linux buffers 208 KiB of packets a socket, which Deno cannot
 * change, and drops packets that arrive while the thread is busy; BBR does not slow down for that. With the full window two of five
 * packets were lost on loopback, with this one one of twenty.
 */
const NEAR_QUIC_WINDOW_BYTES: number = 256 * 1024;

/** Longest round trip of a near network, in ms: the smaller window carries 13 MB/s over it. */
const NEAR_RTT_MS = 20;

/** Field of Yamux's stream that its interface hides. */
interface Windowed {
  maxStreamWindowSize?: number;
}

/** Limits the window of a new stream according to its connection. */
export function fitWindow(
  stream: Stream,
  { remoteAddr, rtt = 0 }: Pick<Connection, "remoteAddr" | "rtt">,
): void {
  const isNear = rtt <= NEAR_RTT_MS && (isLoopback(remoteAddr) || isPrivate(remoteAddr));
  if (!isNear || transportOf(remoteAddr) !== "quic") return;
  const windowed = stream as unknown as Windowed;
  // Without the field the stream works, and loses more packets.
  if (windowed.maxStreamWindowSize === undefined) return;
  windowed.maxStreamWindowSize = NEAR_QUIC_WINDOW_BYTES;
}
