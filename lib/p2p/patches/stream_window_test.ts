import type { Stream } from "@libp2p/interface";
import { multiaddr } from "@multiformats/multiaddr";
import { assertEquals } from "@std/assert";
import { fitWindow, MAX_STREAM_WINDOW_BYTES } from "./stream_window.ts";

const NEAR_BYTES = 256 * 1024;

/** The window that a stream may grow to. */
function windowOf(stream: Stream): number | undefined {
  return (stream as unknown as { maxStreamWindowSize?: number }).maxStreamWindowSize;
}

Deno.test("fitWindow() makes small the window of QUIC from nearby only", () => {
  const fitted = (address: string, rtt?: number): number | undefined => {
    const stream = { maxStreamWindowSize: MAX_STREAM_WINDOW_BYTES } as unknown as Stream;
    fitWindow(stream, {
      remoteAddr: multiaddr(address),
      ...(rtt === undefined ? {} : { rtt }),
    });
    return windowOf(stream);
  };
  assertEquals(fitted("/ip4/127.0.0.1/udp/4001/quic"), NEAR_BYTES);
  assertEquals(fitted("/ip4/192.168.1.2/udp/4001/quic", 3), NEAR_BYTES);
  assertEquals(fitted("/ip6/::1/udp/4001/quic"), NEAR_BYTES);
  assertEquals(fitted("/ip4/10.0.0.2/udp/4001/quic", 50), MAX_STREAM_WINDOW_BYTES);
  assertEquals(fitted("/ip4/93.184.216.34/udp/4001/quic", 3), MAX_STREAM_WINDOW_BYTES);
  assertEquals(fitted("/ip4/127.0.0.1/tcp/4001"), MAX_STREAM_WINDOW_BYTES);
});
