/**
 * A search does not depend on what a malicious bootstrap node answers.
 *
 * @module
 */
import { assertEquals, assertGreater, assertLessOrEqual } from "@std/assert";
import { multiaddr } from "@multiformats/multiaddr";
import { peerIdFromMultihash, peerIdFromString } from "@libp2p/peer-id";
import * as Digest from "multiformats/hashes/digest";
import { ephemeralIdentity } from "../../lib/core/identity.ts";
import { createConnectionGater } from "../../lib/p2p/access/connection_gater.ts";
import { createNode } from "../../lib/p2p/libp2p_node.ts";
import { concat } from "../../lib/util/bytes.ts";
import { FIELDS } from "../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../fixtures/p2p/nodes.ts";

/** Addresses of one peer that the bootstrap node answers with. */
const ADDRESSES = 10_000;

/** Peers that do not exist. */
const ABSENT = 200;

/** Prefix of a peer id: identity multihash of an Ed25519 public key in protobuf. */
const ID_PREFIX = Uint8Array.fromHex("002408011220");

/** Provider as in a message of the DHT. */
function provider(peerId: string, addresses: readonly string[]) {
  const multiaddrs = addresses.map((text) => multiaddr(text).bytes);
  return { id: peerIdFromString(peerId).toMultihash().bytes, multiaddrs };
}

function absentPeer(): string {
  const key = crypto.getRandomValues(new Uint8Array(32));
  return peerIdFromMultihash(Digest.decode(concat([ID_PREFIX, key])) as never).toString();
}

/** Starts a bootstrap node that answers every request for providers with the given ones. */
async function startBootstrap(
  providers: readonly ReturnType<typeof provider>[],
): Promise<AsyncDisposable & { address: string }> {
  const { secretKey } = await ephemeralIdentity();
  const { libp2p, dht } = await createNode({
    secretKey,
    listen: ["/ip4/127.0.0.1/tcp/0"],
    announce: [],
    mode: "server",
    allowPrivate: true,
    mdns: false,
    nat: { autonat: false, relay: false, relayServer: false },
    limits: {},
    gater: createConnectionGater({ emit: () => {} }),
  });
  const { handlers } = (dht as unknown as {
    rpc: { handlers: Record<string, { handle: (from: unknown, message: object) => unknown }> };
  }).rpc;
  handlers["GET_PROVIDERS"]!.handle = (_from, message) =>
    Promise.resolve({ ...message, clusterLevel: 0, closer: [], providers });
  await libp2p.start();
  return {
    address: libp2p.getMultiaddrs()[0]!.toString(),
    [Symbol.asyncDispose]: async () => await libp2p.stop(),
  };
}

Deno.test(
  "discover() finds a node behind 10,000 addresses, absent peers and nodes that do not match",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const [node, other] = [await net.start(), await net.start()];
    await node.publish({ ...FIELDS, runtime: { ...FIELDS.runtime, arch: "aarch64" } });
    // Its document is valid, but not for what the client asks.
    await other.publish(FIELDS);
    const crowded = absentPeer();
    const many = Array.from({ length: ADDRESSES }, (_, at) => `/ip4/127.0.0.1/tcp/${at + 1}`);
    await using boot = await startBootstrap([
      provider(crowded, many),
      ...Array.from({ length: ABSENT }, () => provider(absentPeer(), ["/ip4/127.0.0.1/tcp/1"])),
      provider(other.peerId, [addressOf(other, "tcp")]),
      provider(node.peerId, [addressOf(node, "tcp")]),
    ]);
    const seen = new Recorder();
    const client = await net.startClient({ bootstrap: [boot.address], log: seen.log });
    const found = await Array.fromAsync(client.discover({ arch: "aarch64" }, { limit: 3 }));
    assertEquals(found.map(({ peerId }) => peerId), [node.peerId]);
    assertLessOrEqual((await client.peerAddresses(crowded)).length, 32);
    const failed = seen.events.filter(({ event, error_code }) => event === "dial" && error_code);
    assertGreater(failed.length, ABSENT / 2);
    // The node that does not match was asked.
    const documents = seen.events.filter(({ event }) => event === "capability-seen");
    assertEquals(
      documents.map(({ peer_id }) => peer_id).sort(),
      [node.peerId, other.peerId].sort(),
    );
  },
);
