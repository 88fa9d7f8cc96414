import { assert, assertEquals, assertFalse } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import { isOwnSubnet, rankAddresses, type RankOptions } from "./dial_ranking.ts";

const RELAY = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
const RELAYED = `/ip4/9.9.9.9/tcp/1/p2p/${RELAY}/p2p-circuit`;
const NEAR_RELAY = `/ip4/10.1.0.9/tcp/1/p2p/${RELAY}/p2p-circuit`;
const FAR_RELAY = `/ip4/192.168.1.9/tcp/1/p2p/${RELAY}/p2p-circuit`;

/** Addresses in the order of their dials, each with its delay. */
function ranked(addresses: string[], options: RankOptions = {}): Record<string, number> {
  const list = rankAddresses(addresses.map((text) => multiaddr(text)), {
    isNear: (host) => host.startsWith("10.1."),
    ...options,
  });
  return Object.fromEntries(list.map(({ address, delayMs }) => [address.toString(), delayMs]));
}

function assertRanked(expected: Record<string, number>, options: RankOptions = {}): void {
  const found = ranked(Object.keys(expected).toReversed(), options);
  assertEquals(found, expected);
  const delays = Object.values(found);
  assertEquals(delays, delays.toSorted((a, b) => a - b));
}

Deno.test("rankAddresses() dials QUIC before TCP, and IPv6 before IPv4", () => {
  assertRanked({
    "/ip6/2606:4700::1/udp/1/noise": 0,
    "/ip4/8.8.8.8/udp/1/noise": 250,
    "/ip6/2606:4700::1/tcp/1": 500,
    "/ip4/8.8.8.8/tcp/1": 750,
  });
  assertRanked({ "/ip4/8.8.8.8/udp/1/noise": 0, "/ip4/8.8.8.8/tcp/1": 250 });
  assertRanked({ "/ip6/2606:4700::1/tcp/1": 0, "/dns4/node.example/tcp/1": 250 });
});

Deno.test("rankAddresses() dials the other addresses of a kind together", () => {
  assertEquals(
    ranked([1, 2, 3].map((port) => `/ip4/8.8.8.8/tcp/${port}`)),
    { "/ip4/8.8.8.8/tcp/1": 0, "/ip4/8.8.8.8/tcp/2": 250, "/ip4/8.8.8.8/tcp/3": 250 },
  );
});

Deno.test("rankAddresses() dials this machine's subnets at once, relays soon and foreign networks last", () => {
  assertRanked({
    "/ip4/10.1.0.2/udp/1/noise": 0,
    "/ip4/8.8.8.8/udp/1/noise": 0,
    "/ip4/10.1.0.2/tcp/1": 30,
    "/ip4/8.8.8.8/tcp/1": 250,
    [RELAYED]: 500,
    "/ip4/172.17.0.1/udp/1/noise": 1000,
    "/ip4/192.168.1.2/tcp/1": 1250,
    [FAR_RELAY]: 1500,
  });
});

Deno.test("rankAddresses() dials a relay, a foreign network or loopback at once when nothing is before it", () => {
  assertRanked({
    [RELAYED]: 0,
    "/ip4/127.0.0.1/udp/1/noise": 1000,
    "/ip4/192.168.1.2/tcp/1": 1250,
  });
  assertRanked({ [NEAR_RELAY]: 0 });
  assertRanked({ "/ip4/192.168.1.2/udp/1/noise": 0, "/ip4/192.168.1.2/tcp/1": 250 });
  assertRanked({ "/ip4/127.0.0.1/tcp/1": 0 });
  assertRanked({ "/memory/a": 0 });
});

Deno.test("rankAddresses() omits private addresses as configured", () => {
  const all = ["/ip4/8.8.8.8/tcp/1", "/ip4/10.1.0.2/tcp/1", "/ip4/192.168.1.2/tcp/1", FAR_RELAY];
  const kept = (privateDials: RankOptions["privateDials"]): string[] =>
    Object.keys(ranked(all, { privateDials })).toSorted();
  assertEquals(kept("last"), all.toSorted());
  assertEquals(kept("near"), all.slice(0, 2).toSorted());
  assertEquals(kept("never"), all.slice(0, 1));
});

Deno.test("isOwnSubnet() knows the subnets of this machine's interfaces", () => {
  for (const { address } of Deno.networkInterfaces()) {
    assertEquals(isOwnSubnet(address), !address.startsWith("fe80:"), address);
  }
  assert(isOwnSubnet("127.0.0.77"));
  assertFalse(isOwnSubnet("203.0.113.1"));
});
