import type { Stream } from "@libp2p/interface";
import { assertEquals } from "@std/assert";
import { addressOf, LIBP2P, TestNet } from "../../fixtures/p2p/nodes.ts";

const PROTOCOL = "/window/1.0.0";

/** The window that a stream may grow to, which Yamux keeps for itself. */
function windowOf(stream: Stream): unknown {
  return (stream as unknown as { maxStreamWindowSize?: number }).maxStreamWindowSize;
}

Deno.test("streams over QUIC on loopback keep a small window at both ends", LIBP2P, async () => {
  await using net = new TestNet();
  const server = await net.start();
  let accepted = Promise.withResolvers<Stream>();
  await server.handle(PROTOCOL, (stream) => accepted.resolve(stream));
  const windows: Record<string, unknown> = {};
  for (const transport of ["tcp", "quic"] as const) {
    accepted = Promise.withResolvers<Stream>();
    const client = await net.startClient();
    const stream = await client.dialProtocol(addressOf(server, transport), PROTOCOL);
    windows[transport] = [windowOf(stream), windowOf(await accepted.promise)];
  }
  assertEquals(windows, { tcp: [2 ** 21, 2 ** 21], quic: [2 ** 18, 2 ** 18] });
});
