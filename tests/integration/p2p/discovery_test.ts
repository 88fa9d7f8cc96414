import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import type { Connection, Stream } from "@libp2p/interface";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { createConnectionGater } from "../../../lib/p2p/access/connection_gater.ts";
import {
  type Capability,
  serveCapability,
  signCapability,
} from "../../../lib/p2p/discovery/capability.ts";
import { CAPABILITY_PROTOCOL } from "../../../lib/p2p/discovery/capability.ts";
import { frameStream } from "../../../lib/core/cbor/cbor_frame.ts";
import { createNode } from "../../../lib/p2p/libp2p_node.ts";
import type { PlasmNetwork } from "../../../lib/p2p/network.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";

const ARM = { ...FIELDS, runtime: { ...FIELDS.runtime, arch: "aarch64" } };

async function findAll(
  node: PlasmNetwork,
  criteria: Parameters<PlasmNetwork["discover"]>[0],
  options: Parameters<PlasmNetwork["discover"]>[1] = {},
) {
  const found = [];
  for await (const candidate of node.discover(criteria, options)) found.push(candidate);
  return found;
}

Deno.test("discover() finds an unknown node and reports each step", LIBP2P, async () => {
  await using net = new TestNet();
  const boot = await net.start();
  const bootstrap = [addressOf(boot, "quic")];
  const worked = new Recorder();
  const worker = await net.start({ bootstrap, log: worked.log });
  await worker.publish(ARM);
  const provided = await worked.until(({ event }) => event === "provide");
  assertEquals({ count: provided.count, errorCode: provided.error_code }, {
    count: 2,
    errorCode: undefined,
  });

  const seen = new Recorder();
  const client = await net.startClient({ bootstrap, log: seen.log });
  const [candidate, ...others] = await findAll(client, { arch: "aarch64" }, { limit: 1 });
  assertEquals(others, []);
  assertEquals(candidate!.peerId, worker.peerId);
  assertEquals(candidate!.capability, worker.capability);
  assertEquals({ transport: candidate!.transport, path: candidate!.path }, {
    transport: "quic",
    path: "direct",
  });
  assertGreater(candidate!.score, 0);

  assertEquals(
    seen.names("network-started", "bootstrap", "capability-seen", "query"),
    ["network-started", "bootstrap", "capability-seen", "query"],
  );
  const order = seen.events.map(({ event, peer_id }) => `${event} ${peer_id ?? ""}`.trim());
  const place = (text: string) => {
    assert(order.includes(text), `${text} is not in\n${order.join("\n")}`);
    return order.indexOf(text);
  };
  assert(place(`connect ${boot.peerId}`) < place(`bootstrap ${boot.peerId}`));
  assert(place(`bootstrap ${boot.peerId}`) < place(`connect ${worker.peerId}`));
  assert(place(`connect ${worker.peerId}`) < place(`capability-seen ${worker.peerId}`));
  for (const event of seen.events) assertEquals(event.node_id, client.peerId);
  for (const name of ["bootstrap", "capability-seen", "query"]) {
    assert(seen.events.find(({ event }) => event === name)!.latency_ms! >= 0, name);
  }
  assertEquals(seen.events.find(({ event }) => event === "query")!.key, "arch:aarch64");
});

Deno.test("discover() yields only nodes that meet all criteria", LIBP2P, async () => {
  await using net = new TestNet();
  const boot = await net.start();
  const bootstrap = [addressOf(boot, "tcp")];
  const recorders = [new Recorder(), new Recorder()];
  const [large, small] = await Promise.all(
    recorders.map(({ log }) => net.start({ bootstrap, log })),
  );
  await small!.publish(FIELDS);
  await large!.publish({ ...FIELDS, limits: { ...FIELDS.limits, memory_mb: 4096 } });
  await Promise.all(recorders.map((r) => r.until(({ event }) => event === "provide")));
  const client = await net.startClient({ bootstrap });
  const found = await findAll(client, { features: ["simd"], minMemoryMb: 1024 }, { limit: 5 });
  assertEquals(found.map(({ peerId }) => peerId), [large!.peerId]);
  const both = await findAll(client, { features: ["simd"] }, { limit: 5 });
  assertEquals(both.map(({ peerId }) => peerId).sort(), [large!.peerId, small!.peerId].sort());
});

Deno.test("discover() skips providers that are stopped or malicious", LIBP2P, async () => {
  await using net = new TestNet();
  const boot = await net.start();
  const bootstrap = [addressOf(boot, "tcp")];
  const recorders = [new Recorder(), new Recorder(), new Recorder()];
  const nodes = await Promise.all(recorders.map(({ log }) => net.start({ bootstrap, log })));
  const [gone, liar, honest] = nodes;
  for (const node of nodes) await node.publish(FIELDS);
  await Promise.all(recorders.map((r) => r.until(({ event }) => event === "provide")));
  await gone!.stop();
  await liar!.unhandle(CAPABILITY_PROTOCOL);
  const seen = new Recorder();
  const client = await net.startClient({ bootstrap, log: seen.log });
  const found = await findAll(client, {}, { limit: 3 });
  assertEquals(found.map(({ peerId }) => peerId), [honest!.peerId]);
  // It has withdrawn its records.
  assert(!seen.events.some(({ peer_id }) => peer_id === gone!.peerId));
  const refused = seen.events.find(({ event }) => event === "capability-refused");
  assertEquals(refused?.peer_id, liar!.peerId);
});

Deno.test(
  "discover() ends at its time limit and reports that no node was found",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const seen = new Recorder();
    const client = await net.startClient({ log: seen.log });
    assertEquals(await findAll(client, {}, { timeoutMs: 300 }), []);
    const query = await seen.until(({ event }) => event === "query");
    assertEquals({ count: query.count, errorCode: query.error_code }, {
      count: 0,
      errorCode: "no-peer",
    });
  },
);

Deno.test("discover() throws the reason when the signal aborts", LIBP2P, async () => {
  await using net = new TestNet();
  const client = await net.startClient();
  const reason = new Error("Cancelled");
  const controller = new AbortController();
  const search = findAll(client, {}, { signal: controller.signal });
  controller.abort(reason);
  assertEquals(await assertRejects(() => search), reason);
});

/** Invalid responses of a malicious peer, by description. */
const INVALID_RESPONSES: Record<string, (honest: PlasmNetwork) => Promise<unknown> | unknown> = {
  "another node's document": (honest) => ({ type: "capability", document: honest.capability }),
  "an unsigned document": (honest) => {
    const { signature: _, ...document } = honest.capability!;
    return { type: "capability", document };
  },
  "a list": () => [1, 2, 3],
  "an unknown type": () => ({ type: "advert" }),
  "no document": () => ({ type: "capability" }),
};

Deno.test("queryPeer() rejects untrusted documents", LIBP2P, async (t) => {
  await using net = new TestNet();
  const honest = await net.start();
  await honest.publish(FIELDS);
  const seen = new Recorder();
  const client = await net.startClient({ log: seen.log });
  for (const [what, answer] of Object.entries(INVALID_RESPONSES)) {
    await t.step(what, async () => {
      const liar = await net.start();
      await liar.unhandle(CAPABILITY_PROTOCOL);
      await liar.handle(CAPABILITY_PROTOCOL, async (stream) => {
        const { signal } = new AbortController();
        const frames = frameStream(stream, { maxBytes: 1000 });
        await frames.read({ signal });
        await frames.write(await answer(honest), { signal });
        await stream.close();
      });
      await assertRejects(() => client.queryPeer(addressOf(liar, "tcp")));
      const refused = await seen.until(({ event, peer_id }) =>
        event === "capability-refused" && peer_id === liar.peerId
      );
      assertEquals(refused.error_code, "protocol");
    });
  }
});

Deno.test("queryPeer() rejects a document older than one seen before", LIBP2P, async () => {
  await using net = new TestNet();
  const identity = await ephemeralIdentity();
  const node = await net.start({ identity });
  let document: Capability | undefined;
  await node.unhandle(CAPABILITY_PROTOCOL);
  await node.handle(CAPABILITY_PROTOCOL, async (stream) => {
    const { signal } = new AbortController();
    const frames = frameStream(stream, { maxBytes: 1000 });
    await frames.read({ signal });
    await frames.write({ type: "capability", document }, { signal });
    await stream.close();
  });
  const sign = (seq: number) =>
    signCapability(FIELDS, {
      signer: identity,
      seq,
      addresses: [],
      issuedAt: Date.now(),
      validityMs: 60_000,
    });
  const client = await net.startClient();
  document = await sign(7);
  assertEquals((await client.queryPeer(addressOf(node, "tcp"))).capability.seq, 7);
  document = await sign(6);
  await assertRejects(() => client.queryPeer(node.peerId), Error, "sequence 6 is below 7");
  document = await sign(8);
  assertEquals((await client.queryPeer(node.peerId)).capability.seq, 8);
});

/** Ways in which a node fails to answer a query, with the number of queries that the client makes. */
const LOST_QUERIES: Record<string, {
  /** Called for each query until `lost` are lost. */
  lose: (stream: Stream, connection: Connection) => Promise<void> | void;
  lost: number;
  queries: number;
  isAnswered: boolean;
}> = {
  "repeats a query when its connection is aborted": {
    lose: (_stream, connection) => connection.abort(new Error("Replaced")),
    lost: 1,
    queries: 2,
    isAnswered: true,
  },
  "repeats a query when its stream ends before its connection": {
    lose: async (stream, connection) => {
      await stream.close();
      await connection.close();
    },
    lost: 1,
    queries: 2,
    isAnswered: true,
  },
  "repeats a query only once": {
    lose: (_stream, connection) => connection.abort(new Error("Replaced")),
    lost: 2,
    queries: 2,
    isAnswered: false,
  },
  "does not repeat a query when only its stream is reset": {
    lose: (stream) => stream.abort(new Error("Refused")),
    lost: 1,
    queries: 1,
    isAnswered: false,
  },
};

for (const [what, { lose, lost, queries, isAnswered }] of Object.entries(LOST_QUERIES)) {
  Deno.test(`queryPeer() ${what}`, LIBP2P, async () => {
    await using net = new TestNet();
    const identity = await ephemeralIdentity();
    const { libp2p } = await createNode({
      secretKey: identity.secretKey,
      listen: ["/ip4/127.0.0.1/tcp/0"],
      announce: [],
      mode: "server",
      allowPrivate: true,
      mdns: false,
      nat: { autonat: false, relay: false, relayServer: false },
      limits: {},
      gater: createConnectionGater({ emit: () => {} }),
    });
    await libp2p.start();
    await using stack = new AsyncDisposableStack();
    stack.defer(async () => await libp2p.stop());
    const document = await signCapability(FIELDS, {
      signer: identity,
      seq: 1,
      addresses: [],
      issuedAt: Date.now(),
      validityMs: 60_000,
    });
    let count = 0;
    await libp2p.handle(CAPABILITY_PROTOCOL, async (stream, connection) => {
      if (++count <= lost) await lose(stream, connection);
      else await serveCapability(stream, document);
    });
    const client = await net.startClient();
    const query = client.queryPeer(libp2p.getMultiaddrs()[0]!.toString());
    if (isAnswered) assertEquals((await query).capability.seq, 1);
    else await assertRejects(() => query);
    assertEquals(count, queries);
  });
}

Deno.test(
  "publish() makes the new document available, with a higher sequence number each time",
  LIBP2P,
  async () => {
    await using net = new TestNet();
    const node = await net.start();
    const client = await net.startClient();
    const address = addressOf(node, "quic");
    await assertRejects(() => client.queryPeer(address), Error, "offers no capabilities");
    await node.publish(FIELDS);
    const first = await client.queryPeer(address);
    await node.publish({ ...FIELDS, load: { running: 2, queued: 1, slots: 2 } });
    const second = await client.queryPeer(address);
    assertEquals(second.capability.load, { running: 2, queued: 1, slots: 2 });
    assertGreater(second.capability.seq, first.capability.seq);
    assertEquals(first.capability.addresses.length, 2);
    await node.publish({ ...FIELDS, features: ["gc"] });
    assertEquals((await client.queryPeer(address)).capability.features, ["gc"]);
  },
);
