import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../lib/errors.ts";
import { run, TestNode } from "./bench.ts";

Deno.test("runRemote() offers, sends, runs and verifies", async () => {
  await using node = await TestNode.create();
  const { text, receipt, attempts, progress } = await run({ nodes: [node] });
  assertEquals(text, "dlroW ,olleH");
  assertEquals(receipt.node.peer_id, node.peerId);
  assertEquals(attempts.map(({ ran, peerId }) => [ran, peerId]), [["yes", node.peerId]]);
  assertEquals([...new Set(progress.map(({ phase }) => phase))], [
    "connecting",
    "offering",
    "accepted",
    "sending",
    "queued",
    "running",
    "verifying",
  ]);
  await node.host.until(() => node.host.forgotten.length === 1);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("runRemote() sends nothing that the node has", async () => {
  await using node = await TestNode.create();
  const first = await run({ nodes: [node] });
  const second = await run({ nodes: [node] });
  assertEquals(first.attempts[0]!.sentBytes, 20);
  assertEquals(second.attempts[0]!.sentBytes, 12);
});

Deno.test("runRemote() says that there is nobody to ask", async () => {
  const error = await assertRejects(() => run({ nodes: [] }), PlasmError, "no node");
  assertEquals(error.code, "no-peer");
});
