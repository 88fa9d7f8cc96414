import { assertEquals } from "@std/assert";
import { ephemeralIdentity } from "../../../lib/core/identity.ts";
import { probeReachability } from "../../../lib/p2p/connectivity/reachability_probe.ts";
import { FIELDS } from "../../fixtures/p2p/identities.ts";
import { addressOf, LIBP2P, Recorder, TestNet } from "../../fixtures/p2p/nodes.ts";

Deno.test("probeReachability() reports whether a new peer finds a node", LIBP2P, async () => {
  await using net = new TestNet();
  const boot = await net.start();
  const bootstrap = [addressOf(boot, "quic")];
  const seen = new Recorder();
  const node = await net.start({ bootstrap, log: seen.log });
  await node.publish(FIELDS);
  await seen.until(({ event }) => event === "provide");

  const visible = await probeReachability({ peerId: node.peerId, bootstrap });
  assertEquals({ isReachable: visible.isReachable, path: visible.path, reason: visible.reason }, {
    isReachable: true,
    path: "direct",
    reason: null,
  });

  const { peerId } = await ephemeralIdentity();
  const other = await probeReachability({ peerId, bootstrap });
  assertEquals(other.isReachable, false);
  assertEquals(other.reason, "found 1 other nodes, but not this one");

  const alone = await probeReachability({
    peerId,
    bootstrap: ["/ip4/127.0.0.1/tcp/1"],
  });
  assertEquals({ isReachable: alone.isReachable, reason: alone.reason }, {
    isReachable: false,
    reason: "Cannot join the network: the bootstrap node does not answer: " +
      "/ip4/127.0.0.1/tcp/1 (connection refused)",
  });
});
