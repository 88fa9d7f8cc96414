import { assertEquals, assertThrows } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import { PlasmError } from "../core/errors/mod.ts";
import { checkListenAddress, pathOf, transportOf, withTcp } from "./addresses.ts";

const RELAY = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

Deno.test("transportOf() and pathOf() classify an address", () => {
  const relayed = multiaddr(`/ip4/8.8.4.4/udp/1/noise/p2p/${RELAY}/p2p-circuit`);
  assertEquals({ transport: transportOf(relayed), path: pathOf(relayed) }, {
    transport: "quic",
    path: "relayed",
  });
  const direct = multiaddr("/ip4/8.8.4.4/tcp/1");
  assertEquals({ transport: transportOf(direct), path: pathOf(direct) }, {
    transport: "tcp",
    path: "direct",
  });
  assertEquals(transportOf(multiaddr("/memory/x")), "memory");
});

Deno.test("withTcp() adds TCP to hosts that have only QUIC", () => {
  const quic = "/ip4/0.0.0.0/udp/4001/noise";
  assertEquals(withTcp([quic]), [quic, "/ip4/0.0.0.0/tcp/4001"]);
  const other = [quic, "/ip4/0.0.0.0/tcp/9"];
  assertEquals(withTcp(other), other);
  const both = [quic, "/ip6/::/udp/0/noise", "/ip4/0.0.0.0/tcp/9"];
  assertEquals(withTcp(both), [...both, "/ip6/::/tcp/0"]);
  assertEquals(withTcp([]), []);
});

Deno.test("checkListenAddress() refuses the names of other QUIC transports", () => {
  for (const name of ["quic", "quic-v1", "quic-v1/webtransport"]) {
    assertThrows(
      () => checkListenAddress(`/ip4/0.0.0.0/udp/4001/${name}`),
      PlasmError,
      "neither TCP nor QUIC",
    );
  }
});
