import { assert, assertEquals } from "@std/assert";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { createConnectionGater } from "../../../lib/p2p/access/connection_gater.ts";
import { capabilityKey } from "../../../lib/p2p/discovery/candidate.ts";
import { createNode } from "../../../lib/p2p/libp2p_node.ts";
import type { NetworkOptions, PlasmNetwork } from "../../../lib/p2p/network.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { memory } from "../../fixtures/p2p/memory_transport.ts";
import { LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";
import { multiaddr } from "@multiformats/multiaddr";

/** More than k = 20, after which libp2p's searches end. */
const COUNT = 24;

/** Nodes that were killed: they could not withdraw their records. */
const KILLED = 4;

const TRANSPORTS = [memory()] as unknown as NetworkOptions["transports"];
const MANY = { inboundPerSecond: 1000 };

/** Stores the record of a node that is then killed. */
async function storeAndKill(bootstrap: string): Promise<void> {
  const { secretKey } = await ephemeralIdentity();
  const node = await createNode({
    secretKey,
    listen: [`/memory/killed-${crypto.randomUUID()}`],
    announce: [],
    mode: "client",
    allowPrivate: true,
    mdns: false,
    nat: { autonat: false, relay: false, relayServer: false },
    limits: MANY,
    gater: createConnectionGater({ emit: () => {} }),
    transports: TRANSPORTS,
  });
  await node.libp2p.start();
  await node.libp2p.dial(multiaddr(bootstrap));
  let stored = 0;
  for await (const event of node.dht.provide(await capabilityKey("node"))) {
    if (event.name === "PEER_RESPONSE" && event.messageName === "ADD_PROVIDER") stored++;
  }
  assert(stored > 0);
  await node.libp2p.stop();
}

Deno.test("discover() finds more nodes than a bucket of the DHT has places", LIBP2P, async () => {
  await using net = new TestNet();
  const start = (name: string, options: Partial<NetworkOptions> = {}) =>
    net.start({ listen: [`/memory/${name}`], transports: TRANSPORTS, limits: MANY, ...options });
  const boot = await start("boot");
  const bootstrap = [boot.addresses()[0]!];
  for (let at = 0; at < KILLED; at++) await storeAndKill(bootstrap[0]!);
  const nodes: PlasmNetwork[] = [];
  await Promise.all(Array.from({ length: COUNT }, async (_, at) => {
    const seen = new Recorder();
    const node = await start(`node-${at}`, { mode: "client", bootstrap, log: seen.log });
    const memory_mb = at < 3 ? 4096 : 512;
    await node.publish({ ...FIELDS, limits: { ...FIELDS.limits, memory_mb } });
    await seen.until(({ event }) => event === "provide");
    nodes.push(node);
  }));

  const seen = new Recorder();
  const client = await start("client", { mode: "client", listen: [], bootstrap, log: seen.log });
  const find = async (criteria: Parameters<PlasmNetwork["discover"]>[0], limit: number) => {
    const found = client.discover(criteria, { limit });
    return (await Array.fromAsync(found)).map(({ peerId }) => peerId).sort();
  };
  const idsOf = (some: readonly PlasmNetwork[]) => some.map(({ peerId }) => peerId).sort();
  assertEquals(await find({}, 64), idsOf(nodes));
  // A node that stores the records itself finds as many.
  const own = await Array.fromAsync(boot.discover({}, { limit: 64 }));
  assertEquals(own.map(({ peerId }) => peerId).sort(), idsOf(nodes));
  // The records of the killed nodes took no place.
  assertEquals(
    seen.events.filter(({ event, error_code }) => event === "dial" && error_code).length,
    KILLED,
  );
  // Only nodes that answer queries are in the routing table, so that the next search finds as many.
  assertEquals(client.routingTableSize(), 1);
  assertEquals((await find({ minMemoryMb: 4096 }, 3)).length, 3);

  const [stopped, ...others] = nodes;
  await stopped!.stop();
  const before = seen.events.length;
  assertEquals(await find({}, 64), idsOf(others));
  // It has withdrawn its records, so that no client dials it.
  const dials = seen.events.slice(before).filter(({ event }) => event === "dial");
  assert(!dials.some(({ peer_id }) => peer_id === stopped!.peerId));
});
