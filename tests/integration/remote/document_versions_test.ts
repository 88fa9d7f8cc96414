/**
 * Nodes that have manifests and receipts of different versions refuse each other with a reason.
 *
 * @module
 */
import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { createJobId, createNonce } from "../../../lib/core/ids.ts";
import { makeOffer } from "../../../lib/remote/client/handshake.ts";
import { FrameChannel } from "../../../lib/remote/wire/frame_channel.ts";
import type { Message } from "../../../lib/remote/wire/messages.ts";
import type { PeerOutcome } from "../../../lib/p2p/mod.ts";
import { memoryPair } from "../../fixtures/memory_streams.ts";
import { makeJob, nodeWithModule, run } from "../../fixtures/remote/test_node.ts";

Deno.test("JobServer rejects an offer with documents of another version", async () => {
  await using node = await nodeWithModule();
  const channel = new FrameChannel(node.dial());
  const options = { nonce: createNonce(), now: Date.now(), mayBegin: true };
  const offer = await makeOffer(await makeJob(), options);
  await channel.write({ ...offer, version: "0.3" } as unknown as Message);
  const { error } = await channel.read(["reject"]);
  assertEquals(error["code"], "protocol");
  assertStringIncludes(error["message"] as string, "documents of version 0.3, this node 0.2");
  assertEquals(error["hint"], "Run the same version of plasm on both nodes");
  assertEquals(node.host.submitted, []);
  channel.abort(new Error("Test ended"));
});

Deno.test("runOnPeers() refuses an acceptance with documents of another version", async () => {
  const serve = async (channel: FrameChannel): Promise<void> => {
    const { nonce, manifest_hash } = await channel.read(["offer"]);
    const accept = {
      ...{ type: "accept", version: "0.1", nonce, manifest_hash, need: [], begun: true },
      ...{ job_id: createJobId(), secret: createNonce(), node_nonce: createNonce() },
      ...{ position: 0, keeps_ms: 0, expires_in_ms: 1000 },
    };
    await channel.write(accept as unknown as Message);
  };
  const dial = () => {
    const { client, node } = memoryPair();
    void serve(new FrameChannel(node));
    return Promise.resolve(client);
  };
  const candidates = [{ peerId: "12D3KooWOther" }];
  const outcomes: PeerOutcome[] = [];
  const recordOutcome = (_peerId: string, outcome: PeerOutcome) => outcomes.push(outcome);
  const error = await assertRejects(
    () => run({ nodes: [], candidates, dial, isSole: true, recordOutcome }),
    PlasmError,
    "documents of version 0.1, this node 0.2",
  );
  assertEquals(error.code, "protocol");
  // Another version is no failure.
  assertEquals(outcomes, [{ ok: false, refusedForMs: 60_000 }]);
});
