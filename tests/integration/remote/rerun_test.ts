import { assert, assertEquals } from "@std/assert";
import { ephemeralIdentity, rerun, runJob, runRemoteJob } from "../../../mod.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { HELLO, realNode } from "../../fixtures/remote/real_node.ts";

Deno.test(
  "rerun() reproduces a local receipt on another node with runRemoteJob()",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { bootstrap } = node;
    const inputs = { "data/": new Uint8Array(), "data/a": new TextEncoder().encode("a") };
    const stdin = new TextEncoder().encode("Hello, World");
    const signer = await ephemeralIdentity();
    const { receipt, manifest } = await runJob(HELLO, { args: ["x"], inputs, stdin, signer });
    assert(receipt !== undefined);
    const job = { manifest, module: HELLO, stdin, inputs };
    const { outcome, receipt: again } = await rerun(receipt, {
      ...job,
      run: () => runRemoteJob(HELLO, { manifest, stdin, inputs, bootstrap }),
    });
    assertEquals(outcome, "reproduced");
    assertEquals(again?.run.node.peer_id, node.daemon.identity.peerId);
  },
);
