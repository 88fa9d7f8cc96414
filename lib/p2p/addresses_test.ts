import { assertEquals } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import { compareAddresses, pathOf, transportOf } from "./addresses.ts";

const RELAY = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

Deno.test("compareAddresses() puts QUIC before TCP, direct before relayed, public first", () => {
  const expected = [
    "/ip4/8.8.4.4/udp/1/quic",
    "/ip4/8.8.4.4/tcp/1",
    "/ip4/9.9.9.9/udp/1/quic",
    "/ip4/9.9.9.9/tcp/1",
    "/ip4/192.168.1.2/udp/1/quic",
    "/ip4/192.168.1.2/tcp/1",
    "/ip4/127.0.0.1/udp/1/quic",
    "/ip4/127.0.0.1/tcp/1",
    `/ip4/8.8.4.4/udp/1/quic/p2p/${RELAY}/p2p-circuit`,
  ];
  const shuffled = expected.toReversed().map((text) => ({ multiaddr: multiaddr(text) }));
  const sorted = shuffled.sort(compareAddresses).map(({ multiaddr }) => multiaddr.toString());
  assertEquals(sorted, expected);
});

Deno.test("transportOf() and pathOf() read an address", () => {
  const relayed = multiaddr(`/ip4/8.8.4.4/udp/1/quic/p2p/${RELAY}/p2p-circuit`);
  assertEquals([transportOf(relayed), pathOf(relayed)], ["quic", "relayed"]);
  const direct = multiaddr("/ip4/8.8.4.4/tcp/1");
  assertEquals([transportOf(direct), pathOf(direct)], ["tcp", "direct"]);
  assertEquals(transportOf(multiaddr("/memory/x")), "memory");
});
