/**
 * How much may be under way on one stream.
 * @module
 */
import type { Connection, Stream } from "@libp2p/interface";
import { isLoopback, isPrivate } from "@libp2p/utils";
import { transportOf } from "../connectivity/address_order.ts";

/**
 * What may come on a stream ahead of its reader, and so what one can make us hold: Yamux's own 16 MiB would be
 * 1 GiB for a connection of 64 streams. 2 MiB still carry 40 MB/s over a round trip of 50 ms; 1 MiB did 10
 * there where 2 and 16 did 15 alike.
 */
export const MAX_STREAM_WINDOW_BYTES: number = 2 * 2 ** 20;

/**
 * The same for QUIC from nearby: what Yamux begins with. Linux keeps 208 KiB of packets for a socket, which
 * Deno cannot change, and drops those that come while its one thread is at work; and BBR does not slow down for
 * that. With the full window two of five packets were lost on loopback, with this one of twenty.
 */
const NEAR_QUIC_WINDOW_BYTES: number = 256 * 1024;

/** A round trip of nearby, in ms: the smaller window still carries 13 MB/s over it. */
const NEAR_RTT_MS = 20;

/** What Yamux's stream has besides its interface. */
interface Windowed {
  maxStreamWindowSize?: number;
}

/** Keeps the window of a new stream as small as its connection asks for. */
export function fitWindow(
  stream: Stream,
  { remoteAddr, rtt = 0 }: Pick<Connection, "remoteAddr" | "rtt">,
): void {
  const isNear = rtt <= NEAR_RTT_MS && (isLoopback(remoteAddr) || isPrivate(remoteAddr));
  if (!isNear || transportOf(remoteAddr) !== "quic") return;
  const windowed = stream as unknown as Windowed;
  // Without it the stream only loses more packets.
  if (windowed.maxStreamWindowSize === undefined) return;
  windowed.maxStreamWindowSize = NEAR_QUIC_WINDOW_BYTES;
}
