import { assertEquals, assertRejects } from "@std/assert";
import type { Connection, PeerId } from "@libp2p/interface";
import { peerIdFromString } from "@libp2p/peer-id";
import { multiaddr } from "@multiformats/multiaddr";
import {
  isPublicNode,
  type RelayComponents,
  type RelaySearchComponents,
  reserveOnPublicNodes,
  usableAddresses,
  withPacedWalk,
} from "./public_relays.ts";

const ID = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
const RELAY: PeerId = peerIdFromString(ID);

interface FakeRelay {
  direction?: Connection["direction"];
  remoteAddr?: string;
  addresses?: string[];
}

/** Components of a node that is connected to one other node. */
function componentsOf(
  {
    direction = "outbound",
    remoteAddr = "/ip4/8.8.8.8/tcp/1",
    addresses = ["/ip4/8.8.8.8/tcp/1"],
  }: FakeRelay,
): RelayComponents {
  const list = addresses.map((text) => ({ multiaddr: multiaddr(text), isCertified: false }));
  return {
    connectionManager: {
      getConnections: () => [{ direction, remoteAddr: multiaddr(remoteAddr) }],
    },
    peerStore: { get: () => Promise.resolve({ addresses: list } as never) },
  };
}

const CASES: [string, FakeRelay, boolean][] = [
  ["was dialed at a public address", {}, true],
  ["has dialed this node", { direction: "inbound" }, false],
  ["was dialed at a private address", { remoteAddr: "/ip4/192.168.1.2/tcp/1" }, false],
  ["was dialed on loopback", { remoteAddr: "/ip4/127.0.0.1/tcp/1" }, false],
  ["was dialed by a relay", { remoteAddr: `/ip4/8.8.8.8/tcp/1/p2p/${ID}/p2p-circuit` }, false],
  ["uses a relay itself", { addresses: [`/ip4/9.9.9.9/tcp/1/p2p/${ID}/p2p-circuit`] }, false],
];

for (const [what, relay, isPublic] of CASES) {
  Deno.test(`isPublicNode() is ${isPublic} for a node that ${what}`, async () => {
    assertEquals(await isPublicNode(RELAY, componentsOf(relay)), isPublic);
  });
}

Deno.test("reserveOnPublicNodes() reserves and renews slots only while a node is known to be public", async () => {
  const reserved: string[] = [];
  const relay: FakeRelay = {};
  const components = componentsOf(relay);
  components.connectionManager.getConnections = () => [{
    direction: relay.direction ?? "outbound",
    remoteAddr: multiaddr("/ip4/8.8.8.8/tcp/1"),
  }];
  const { reservationStore } = reserveOnPublicNodes({
    reservationStore: {
      addRelay: (_peerId: PeerId, type: string) => Promise.resolve(void reserved.push(type)),
    },
  }, components);
  await reservationStore.addRelay(RELAY, "discovered");
  relay.direction = "inbound";
  await assertRejects(() => reservationStore.addRelay(RELAY, "discovered"), Error, "public");
  await reservationStore.addRelay(RELAY, "configured");
  assertEquals(reserved, ["discovered", "configured"]);
});

Deno.test("withPacedWalk() pauses after each query, also when one fails", async () => {
  const peer = { id: RELAY, multiaddrs: [] };
  let queries = 0;
  const stop = new AbortController();
  const components: RelaySearchComponents = {
    peerRouting: {
      async *getClosestPeers() {
        if (++queries === 2) throw new Error("No peers");
        yield peer;
        yield peer;
      },
    },
    randomWalk: {
      walk: () => {
        throw new Error("Not paced");
      },
    },
  };
  const { randomWalk } = withPacedWalk(components, { minPauseMs: 1 });
  const found: number[] = [];
  for await (const { id } of randomWalk.walk({ signal: stop.signal })) {
    assertEquals(id, RELAY);
    found.push(queries);
    if (queries === 4) stop.abort();
  }
  assertEquals(found, [1, 1, 3, 3, 4, 4]);
});

Deno.test("withPacedWalk() continues the pause of the last walk if asked to", async () => {
  let queries = 0;
  const components: RelaySearchComponents = {
    peerRouting: {
      async *getClosestPeers() {
        queries++;
        yield { id: RELAY, multiaddrs: [] };
      },
    },
    randomWalk: {
      walk: () => {
        throw new Error("Not paced");
      },
    },
  };
  const { signal } = new AbortController();
  for (const isContinued of [false, true]) {
    const { randomWalk } = withPacedWalk(components, { minPauseMs: 60_000, isContinued });
    for await (const _peer of randomWalk.walk({ signal })) break;
    const stop = new AbortController();
    const next = randomWalk.walk({ signal: stop.signal }).next();
    if (isContinued) stop.abort();
    assertEquals((await next).done, isContinued);
  }
  assertEquals(queries, 3);
});

Deno.test("usableAddresses() omits repeated addresses and relayed ones that lead nowhere", () => {
  const usable = [
    "/ip4/192.168.1.2/tcp/1",
    "/ip4/8.8.8.8/tcp/1",
    `/ip4/9.9.9.9/tcp/1/p2p/${ID}/p2p-circuit`,
    `/ip4/9.9.9.9/udp/1/noise/p2p/${ID}/p2p-circuit`,
  ];
  const useless = [
    "/ip4/9.9.9.9/tcp/1/p2p-circuit",
    `/ip4/9.9.9.9/tcp/1/p2p-circuit/p2p/${ID}`,
    `/ip4/192.168.1.9/tcp/1/p2p/${ID}/p2p-circuit`,
    `/ip4/127.0.0.1/tcp/1/p2p/${ID}/p2p-circuit`,
  ];
  const all = [...usable, ...useless, ...usable].map((text) => multiaddr(text));
  assertEquals(usableAddresses(all).map(String), usable);
});
