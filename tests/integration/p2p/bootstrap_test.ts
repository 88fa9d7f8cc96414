import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import type { PlasmNetwork } from "../../../lib/p2p/network.ts";
import { PEERS_FILE } from "../../../lib/p2p/state/peer_state.ts";
import { DeadBootstraps } from "../../fixtures/p2p/dead_bootstraps.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

/** Longer than any test may take: a search must end before. */
const LONG_MS = 600_000;

async function find(node: PlasmNetwork, timeoutMs = LONG_MS): Promise<string[]> {
  const found = node.discover({}, { limit: 1, timeoutMs });
  return (await Array.fromAsync(found)).map(({ peerId }) => peerId);
}

Deno.test("discover() names each bootstrap node when none answers", LIBP2P, async () => {
  await using dead = new DeadBootstraps();
  await using net = new TestNet();
  const client = await net.startClient({ bootstrap: dead.addresses });
  const error = await assertRejects(() => find(client), PlasmError);
  assertEquals({ code: error.code, retryable: error.retryable }, {
    code: "no-peer",
    retryable: true,
  });
  for (const reason of dead.reasons) assertStringIncludes(error.message, reason);
  assert(error.hint?.includes("network.bootstrap"), error.hint);
  assertEquals(
    error.details["bootstrap"],
    client.bootstrap().map(({ address, error }) => ({ address, reason: error })),
  );

  // The first dials have failed, so another search fails at once.
  await assertRejects(() => find(client), PlasmError, "Cannot join the network");
  const { peerId } = await ephemeralIdentity();
  await assertRejects(() => client.queryPeer(peerId), PlasmError, "Cannot join the network");
});

Deno.test("discover() continues when one bootstrap node of several answers", LIBP2P, async () => {
  await using dead = new DeadBootstraps();
  await using net = new TestNet();
  const boot = await net.start();
  const seen = new Recorder();
  const worker = await net.start({ bootstrap: [addressOf(boot, "tcp")], log: seen.log });
  await worker.publish(FIELDS);
  await seen.until(({ event }) => event === "provide");
  const bootstrap = [dead.refusing, addressOf(boot, "tcp"), dead.resetting];
  const client = await net.startClient({ bootstrap });
  assertEquals(await find(client), [worker.peerId]);
});

Deno.test("discover() continues when a peer of the last run answers", LIBP2P, async () => {
  await using temp = await tempDir();
  await using net = new TestNet();
  const boot = await net.start();
  const seen = new Recorder();
  const worker = await net.start({ bootstrap: [addressOf(boot, "tcp")], log: seen.log });
  await worker.publish(FIELDS);
  await seen.until(({ event }) => event === "provide");
  const peers = [{ id: boot.peerId, addresses: [addressOf(boot, "tcp")], last_seen: 1 }];
  await Deno.writeTextFile(`${temp.path}/${PEERS_FILE}`, JSON.stringify({ version: 1, peers }));
  await using dead = new DeadBootstraps();
  const client = await net.startClient({ bootstrap: [dead.refusing], stateDir: temp.path });
  assertEquals(await find(client), [worker.peerId]);
});

Deno.test(
  "bootstrap() reports a peer as connected although its address fails",
  LIBP2P,
  async () => {
    await using dead = new DeadBootstraps();
    await using net = new TestNet();
    const identity = await ephemeralIdentity();
    const address = `${dead.refusing}/p2p/${identity.peerId}`;
    const seen = new Recorder();
    const node = await net.start({ bootstrap: [address], log: seen.log });
    await seen.until(({ event }) => event === "bootstrap");
    const status = () => node.bootstrap().map(({ connected, error }) => ({ connected, error }));
    assertEquals(status(), [{ connected: false, error: "connection refused" }]);

    // The bootstrap node connects from another address.
    const boot = await net.start({ identity, bootstrap: [addressOf(node, "tcp")] });
    await seen.until(({ event, peer_id }) => event === "connect" && peer_id === boot.peerId);
    assertEquals(status(), [{ connected: true, error: null }]);
    await boot.stop();
    await seen.until(({ event, peer_id }) => event === "disconnect" && peer_id === boot.peerId);
    assertEquals(status(), [{ connected: false, error: "connection refused" }]);
  },
);

Deno.test("bootstrap() omits the address of the node itself", LIBP2P, async () => {
  await using net = new TestNet();
  const identity = await ephemeralIdentity();
  const bootstrap = [`/ip4/127.0.0.1/tcp/1/p2p/${identity.peerId}`];
  const node = await net.start({ identity, bootstrap });
  assertEquals(node.bootstrap(), []);
  assert(node.isReady());
  assertEquals(await find(node, 200), []);
});
