import { assertEquals } from "@std/assert";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { checkVisibility } from "../../../lib/p2p/connectivity/reachability_probe.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";

Deno.test("checkVisibility() tells whether a stranger finds a node", LIBP2P, async () => {
  await using net = new TestNet();
  const boot = await net.start();
  const bootstrap = [addressOf(boot, "quic")];
  const seen = new Recorder();
  const node = await net.start({ bootstrap, log: seen.log });
  await node.publish(FIELDS);
  await seen.until(({ event }) => event === "provide");

  const visible = await checkVisibility({ peerId: node.peerId, bootstrap });
  assertEquals([visible.isVisible, visible.path, visible.reason], [true, "direct", null]);

  const { peerId } = await ephemeralIdentity();
  const other = await checkVisibility({ peerId, bootstrap });
  assertEquals(other.isVisible, false);
  assertEquals(other.reason, "found 1 other nodes, but not this one");

  const alone = await checkVisibility({
    peerId,
    bootstrap: ["/ip4/127.0.0.1/tcp/1"],
    timeoutMs: 500,
  });
  assertEquals([alone.isVisible, alone.reason], [false, "no bootstrap node answers"]);
});
