import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { CHUNK_BYTES } from "../../../lib/remote/wire/messages.ts";
import { makeJob, run, seededBytes, TestNode } from "../../fixtures/remote/test_node.ts";

Deno.test("runOnPeers() reports every phase of a successful job in order", async () => {
  await using node = await TestNode.create();
  const { text, receipt, attempts, events } = await run({ nodes: [node] });
  assertEquals(text, "dlroW ,olleH");
  assertEquals(receipt.run.node.peer_id, node.peerId);
  assertEquals(attempts.map(({ ran, peerId }) => [ran, peerId]), [["yes", node.peerId]]);
  assertEquals([...new Set(events.map(({ type }) => type))], [
    "connecting",
    "offering",
    "queued",
    "sending",
    "started",
    "verifying",
    "finished",
  ]);
  await node.host.until(() => node.host.deleted.length === 1);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("runOnPeers() does not send content when the node has it", async () => {
  await using node = await TestNode.create();
  const first = await run({ nodes: [node] });
  const second = await run({ nodes: [node] });
  assertEquals(first.attempts[0]!.sentBytes, 20);
  assertEquals(second.attempts[0]!.sentBytes, 12);
});

Deno.test("runOnPeers() sends standard input with the offer when it is small, and in chunks otherwise", async () => {
  await using node = await TestNode.create();
  for (const [size, count] of [[16 * 1024, 0], [16 * 1024 + 1, 1]] as const) {
    const job = await makeJob({ stdin: seededBytes(size) });
    const sending: number[] = [];
    const { receipt, attempts } = await run({
      nodes: [node],
      job,
      onEvent: (event) => event.type === "sending" && sending.push(event.total),
    });
    assertEquals(receipt.claim.stdin_hash, job.stdin.hash);
    // The node has the module after the first job.
    const module = count === 0 ? job.module.size : 0;
    assertEquals(attempts[0]!.sentBytes, module + size);
    assertEquals(sending, count === 0 ? [module] : [size]);
  }
});

Deno.test("runOnPeers() applies backpressure when the node stores slowly", async () => {
  await using node = await TestNode.create();
  const job = await makeJob({ module: seededBytes(4 * 2 ** 20) });
  const { host } = node;
  const put = host.put.bind(host);
  host.put = (offer, ref, source) => {
    async function* slowly(): AsyncGenerator<Uint8Array> {
      for await (const part of source) {
        await new Promise((resolve) => setTimeout(resolve));
        yield part;
      }
    }
    return put(offer, ref, slowly());
  };
  let ahead = 0;
  await run({
    nodes: [node],
    job,
    onEvent: (event) => {
      if (event.type === "sending") ahead = Math.max(ahead, event.sent - host.stored);
    },
  });
  assertEquals(host.stored, job.module.size + job.stdin.size);
  // One chunk being stored, one being read, and those in transit.
  assertLess(ahead, 4 * CHUNK_BYTES);
});

Deno.test("runOnPeers() throws no-peer when no node is found", async () => {
  const error = await assertRejects(() => run({ nodes: [] }), PlasmError, "no node");
  assertEquals(error.code, "no-peer");
});
