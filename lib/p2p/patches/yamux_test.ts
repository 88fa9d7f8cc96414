import type { Stream } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { assertEquals } from "@std/assert";
import { limitReceiveWindow, MAX_STREAM_WINDOW_BYTES } from "./yamux.ts";

const NEAR_BYTES = 256 * 1024;

/** Largest receive window of a stream. */
function windowOf(stream: Stream): number | undefined {
  return (stream as unknown as { maxStreamWindowSize?: number }).maxStreamWindowSize;
}

Deno.test("limitReceiveWindow() reduces the window of QUIC on a near network only", () => {
  const limited = (address: string, rtt?: number): number | undefined => {
    const stream = { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES } as unknown as Stream;
    limitReceiveWindow(stream, {
      remoteAddr: multiaddr(address),
      ...(rtt === undefined ? {} : { rtt }),
    });
    return windowOf(stream);
  };
  assertEquals(limited("/ip4/127.0.0.1/udp/4001/noise"), NEAR_BYTES);
  assertEquals(limited("/ip4/192.168.1.2/udp/4001/noise", 3), NEAR_BYTES);
  assertEquals(limited("/ip6/::1/udp/4001/noise"), NEAR_BYTES);
  assertEquals(limited("/ip4/10.0.0.2/udp/4001/noise", 50), MAX_STREAM_WINDOW_BYTES);
  assertEquals(limited("/ip4/93.184.216.34/udp/4001/noise", 3), MAX_STREAM_WINDOW_BYTES);
  assertEquals(limited("/ip4/127.0.0.1/tcp/4001"), MAX_STREAM_WINDOW_BYTES);
});
