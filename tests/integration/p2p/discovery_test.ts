import { assert, assertEquals, assertGreater, assertRejects } from "@std/assert";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { type Capability, signCapability } from "../../../lib/p2p/discovery/capability.ts";
import { CAPABILITY_PROTOCOL } from "../../../lib/p2p/discovery/capability.ts";
import { frameStream } from "../../../lib/core/cbor/cbor_frame.ts";
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

Deno.test("discover() finds a node it was never told of, step by step", LIBP2P, async () => {
  await using net = new TestNet();
  const boot = await net.start();
  const bootstrap = [addressOf(boot, "quic")];
  const worked = new Recorder();
  const worker = await net.start({ bootstrap, log: worked.log });
  await worker.publish(ARM);
  const provided = await worked.until(({ event }) => event === "provide");
  assertEquals([provided.count, provided.error_code], [6, undefined]);

  const seen = new Recorder();
  const client = await net.startClient({ bootstrap, log: seen.log });
  const [candidate, ...others] = await findAll(client, { arch: "aarch64" }, { limit: 1 });
  assertEquals(others, []);
  assertEquals(candidate!.peerId, worker.peerId);
  assertEquals(candidate!.capability, worker.capability);
  assertEquals([candidate!.transport, candidate!.path], ["quic", "direct"]);
  assertGreater(candidate!.score, 0);

  assertEquals(
    seen.names("network_started", "bootstrap", "capability_seen", "query"),
    ["network_started", "bootstrap", "capability_seen", "query"],
  );
  const order = seen.events.map(({ event, peer_id }) => `${event} ${peer_id ?? ""}`.trim());
  const place = (text: string) => {
    assert(order.includes(text), `${text} is not in\n${order.join("\n")}`);
    return order.indexOf(text);
  };
  assert(place(`connect ${boot.peerId}`) < place(`bootstrap ${boot.peerId}`));
  assert(place(`bootstrap ${boot.peerId}`) < place(`connect ${worker.peerId}`));
  assert(place(`connect ${worker.peerId}`) < place(`capability_seen ${worker.peerId}`));
  for (const event of seen.events) assertEquals(event.node_id, client.peerId);
  for (const name of ["bootstrap", "capability_seen", "query"]) {
    assert(seen.events.find(({ event }) => event === name)!.latency_ms! >= 0, name);
  }
  assertEquals(seen.events.find(({ event }) => event === "query")!.key, "arch:aarch64");
});

Deno.test("discover() gives only nodes that meet all criteria", LIBP2P, async () => {
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

Deno.test("discover() passes over providers that are gone and ones that lie", LIBP2P, async () => {
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
  const dial = seen.events.find(({ event, peer_id }) =>
    event === "dial" && peer_id === gone!.peerId
  );
  assertEquals(dial?.error_code, "no-peer");
  const refused = seen.events.find(({ event }) => event === "capability_refused");
  assertEquals(refused?.peer_id, liar!.peerId);
});

Deno.test("discover() ends after its time where nobody is, and tells so", LIBP2P, async () => {
  await using net = new TestNet();
  const seen = new Recorder();
  const client = await net.startClient({ log: seen.log });
  assertEquals(await findAll(client, {}, { timeoutMs: 300 }), []);
  const query = await seen.until(({ event }) => event === "query");
  assertEquals([query.count, query.error_code], [0, "no-peer"]);
});

Deno.test("discover() throws the reason of an aborted signal", LIBP2P, async () => {
  await using net = new TestNet();
  const client = await net.startClient();
  const reason = new Error("changed my mind");
  const controller = new AbortController();
  const search = findAll(client, {}, { signal: controller.signal });
  controller.abort(reason);
  assertEquals(await assertRejects(() => search), reason);
});

/** What a peer that does not keep to the rules may answer with, and what is said of it. */
const LIES: Record<string, (honest: PlasmNetwork) => Promise<unknown> | unknown> = {
  "another node's document": (honest) => ({ type: "capability", document: honest.capability }),
  "an unsigned document": (honest) => {
    const { signature: _, ...document } = honest.capability!;
    return { type: "capability", document };
  },
  "a list": () => [1, 2, 3],
  "an unknown type": () => ({ type: "advert" }),
  "no document": () => ({ type: "capability" }),
};

Deno.test("ask() refuses documents that cannot be trusted", LIBP2P, async (t) => {
  await using net = new TestNet();
  const honest = await net.start();
  await honest.publish(FIELDS);
  const seen = new Recorder();
  const client = await net.startClient({ log: seen.log });
  for (const [what, answer] of Object.entries(LIES)) {
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
      await assertRejects(() => client.ask(addressOf(liar, "tcp")));
      const refused = await seen.until(({ event, peer_id }) =>
        event === "capability_refused" && peer_id === liar.peerId
      );
      assertEquals(refused.error_code, "protocol");
    });
  }
});

Deno.test("ask() refuses a document older than one seen before", LIBP2P, async () => {
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
  assertEquals((await client.ask(addressOf(node, "tcp"))).capability.seq, 7);
  document = await sign(6);
  await assertRejects(() => client.ask(node.peerId), Error, "sequence 6 is below 7");
  document = await sign(8);
  assertEquals((await client.ask(node.peerId)).capability.seq, 8);
});

Deno.test("publish() is seen by who asks, with a higher sequence each time", LIBP2P, async () => {
  await using net = new TestNet();
  const node = await net.start();
  const client = await net.startClient();
  const address = addressOf(node, "quic");
  await assertRejects(() => client.ask(address), Error, "offers no capabilities");
  await node.publish(FIELDS);
  const first = await client.ask(address);
  await node.publish({ ...FIELDS, load: { running: 2, queued: 1, slots: 2 } });
  const second = await client.ask(address);
  assertEquals(second.capability.load, { running: 2, queued: 1, slots: 2 });
  assertGreater(second.capability.seq, first.capability.seq);
  assertEquals(first.capability.addresses.length, 2);
  await node.publish({ ...FIELDS, features: ["gc"] });
  assertEquals((await client.ask(address)).capability.features, ["gc"]);
});
