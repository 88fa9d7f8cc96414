import { assertEquals, assertRejects } from "@std/assert";
import { connectDaemon } from "../../../lib/client/mod.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { runRemoteJob } from "../../../lib/remote/run_remote_job.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { HELLO, realNode } from "../../fixtures/remote/real_node.ts";

/** A minute that is twelve hours away. */
function anotherTime(): string {
  const hour = String((new Date().getHours() + 12) % 24).padStart(2, "0");
  return `${hour}:00-${hour}:01`;
}

Deno.test("a node refuses jobs outside the hours of its policy and says so", LIBP2P, async () => {
  await using node = await realNode({ "network.policy.hours": [anotherTime()] });
  const { bootstrap, daemon, net } = node;
  const availability = { accepting: false, reason: "hours", cores: 0 } as const;
  using client = connectDaemon({ socket: daemon.socket });
  const { network } = await client.node();
  assertEquals(network?.["availability"], availability);

  const [address] = network?.["addresses"] as string[];
  const asking = await net.startClient({ bootstrap });
  const { capability } = await asking.queryPeer(address!);
  assertEquals(capability.availability, availability);

  const error = await assertRejects(
    () => runRemoteJob(HELLO, { bootstrap, peer: address, attempts: 1 }),
    PlasmError,
    "node accepts no jobs of peers at this time of day",
  );
  assertEquals(error.code, "policy");
});
