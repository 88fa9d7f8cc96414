import { assertEquals } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import type { NetworkEvent } from "../network_events.ts";
import type { OwnAddress } from "../patches/libp2p_components.ts";
import { NatTraversal, type NatTraversalOptions } from "./nat_traversal.ts";

const ID = "12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5";
const RELAYED = `/ip4/9.9.9.9/tcp/1/p2p/${ID}/p2p-circuit`;

function own(text: string, verified: boolean): OwnAddress {
  return { multiaddr: multiaddr(text), type: "observed", verified };
}

Deno.test("NatTraversal reserves a relay once when the answers of AutoNAT flap", async () => {
  const events: (string | undefined)[] = [];
  const statuses = new Set<string>();
  const done = Promise.withResolvers<void>();
  const stop = new AbortController();
  let reads = 0;
  let reservations = 0;
  const components = {
    addressManager: {
      getAddressesWithMetadata: () => [
        own("/ip4/8.8.8.8/tcp/1", Math.floor(++reads / 7) % 2 === 1),
        ...(reservations > 0 ? [own(RELAYED, true)] : []),
      ],
    },
    transportManager: { listen: () => Promise.resolve(void reservations++) },
  };
  const log: NetworkEvent[] = [];
  const traversal: NatTraversal = new NatTraversal({
    node: {
      components,
      libp2p: {
        services: { autonat: {} },
        getConnections: () => {
          if (reservations > 0) statuses.add(traversal.reachability.status);
          if (reads > 100) done.resolve();
          return [];
        },
      },
    } as unknown as NatTraversalOptions["node"],
    nat: {},
    emit: (event) => log.push(event as NetworkEvent),
    signal: stop.signal,
    verifyMs: 0,
    watchMs: 0,
  });
  await done.promise;
  stop.abort();
  for (const { step } of log) events.push(step);
  assertEquals(reservations, 1);
  assertEquals(events.toSorted(), ["address-verified", "relay-reserved", "relay-search"]);
  assertEquals([...statuses].toSorted(), ["public", "relayed"]);
});
