import { assertEquals } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import { Circuit } from "@multiformats/multiaddr-matcher";
import { matchQuicRelays } from "./circuit_matcher.ts";

const RELAY = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";

Deno.test("matchQuicRelays() extends libp2p's matcher of relayed addresses", () => {
  matchQuicRelays();
  matchQuicRelays();
  const isRelayed = (text: string) => {
    const address = multiaddr(text);
    return { matches: Circuit.matches(address), exact: Circuit.exactMatch(address) };
  };
  const [yes, no] = [{ matches: true, exact: true }, { matches: false, exact: false }];
  for (const transport of ["tcp/1", "udp/1/noise"]) {
    const relay = `/ip4/192.0.2.1/${transport}/p2p/${RELAY}`;
    assertEquals(isRelayed(`${relay}/p2p-circuit`), yes, transport);
    assertEquals(isRelayed(`${relay}/p2p-circuit/p2p/${RELAY}`), yes, transport);
    assertEquals(isRelayed(relay), no, transport);
  }
  assertEquals(isRelayed("/p2p-circuit"), yes);
});
