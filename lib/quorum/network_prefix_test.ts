import { assertEquals } from "@std/assert";
import { networkPrefix } from "./network_prefix.ts";

Deno.test("networkPrefix() returns the IPv4 /24 or the IPv6 /48 of the first hop", () => {
  const cases: Record<string, string | undefined> = {
    "/ip4/192.0.2.77/tcp/4001/p2p/12D3KooWNode": "192.0.2.0/24",
    "/ip4/192.0.2.1/udp/4001/quic": "192.0.2.0/24",
    "/ip4/192.0.3.1/tcp/4001/p2p/12D3KooWRelay/p2p-circuit/p2p/12D3KooWNode": "192.0.3.0/24",
    "/ip6/2001:db8:1:2::3/tcp/4001": "2001:db8:1::/48",
    "/ip6/2001:db8:1::/tcp/4001": "2001:db8:1::/48",
    "/ip6/2001:0DB8:0001:ffff:0:0:0:1/tcp/4001": "2001:db8:1::/48",
    "/ip6/::1/tcp/4001": "0:0:0::/48",
    "/ip6/2001::1/tcp/4001": "2001:0:0::/48",
    "/ip6/::ffff:192.0.2.77/tcp/4001": "192.0.2.0/24",
    "/ip6zone/eth0/ip6/fe80::1/tcp/4001": "fe80:0:0::/48",
    // A name can resolve to any address, later to another one.
    "/dns4/node.example/tcp/4001": undefined,
    "/memory/1": undefined,
    "": undefined,
    "/ip4": undefined,
    "/ip4/192.0.2/tcp/1": undefined,
    "/ip6/x::1/tcp/1": undefined,
  };
  for (const [address, expected] of Object.entries(cases)) {
    assertEquals(networkPrefix(address), expected, address);
  }
});
