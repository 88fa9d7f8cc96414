import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { createJobId, createNonce } from "../../../lib/core/ids.ts";
import { Disconnected } from "../../../lib/remote/wire/byte_stream.ts";
import { FrameChannel } from "../../../lib/remote/wire/frame_channel.ts";
import { StreamPool } from "../../../lib/remote/client/stream_pool.ts";
import { makeOffer } from "../../../lib/remote/client/handshake.ts";
import type { MessageOf } from "../../../lib/remote/wire/messages.ts";
import type { RunOnPeersOptions } from "../../../lib/remote/client/remote_job.ts";
import { memoryPair } from "../../fixtures/memory_streams.ts";
import { makeJob, nodeWithModule, run, type TestNode } from "../../fixtures/remote/bench.ts";
import { hang, reverse } from "../../fixtures/remote/fake_host.ts";

async function offer(begin = true): Promise<MessageOf<"offer">> {
  return await makeOffer(await makeJob(), {
    nonce: createNonce(),
    now: Date.now(),
    mayBegin: begin,
  });
}

/** Runs a job to the message that ends it; the acceptance. */
async function converse(channel: FrameChannel): Promise<MessageOf<"accept">> {
  await channel.write(await offer());
  const accept = await channel.read(["accept"]);
  while ((await channel.read(["event"])).body["event"] !== "finished");
  await channel.write({ type: "taken", job_id: accept.job_id });
  return accept;
}

/** A client's lines to a node, which last until they are disposed. */
function lasting(node: TestNode): { dial: RunOnPeersOptions["dial"] } & Disposable {
  const kept = new StreamPool();
  const cuts: (() => void)[] = [];
  const dial: RunOnPeersOptions["dial"] = (peerId, { allowReused = false }) => {
    const old = allowReused ? kept.take(peerId) : undefined;
    if (old !== undefined) return Promise.resolve(old);
    const duplex = node.dial();
    cuts.push(node.cut);
    const { promise: ended } = Promise.withResolvers<void>();
    return Promise.resolve(kept.lend(peerId, { ...duplex, ended, isQuiet: () => true }));
  };
  return { dial, [Symbol.dispose]: () => cuts.forEach((cut) => cut()) };
}

Deno.test("JobServer takes one job after the other on one connection", async () => {
  await using node = await nodeWithModule();
  let sent = 0;
  node.wrap = (duplex) => ({
    ...duplex,
    write: (bytes) => (sent += bytes.length, duplex.write(bytes)),
  });
  const channel = new FrameChannel(node.dial());
  const ids = new Set<string>();
  for (let n = 0; n < 3; n++) {
    const { job_id, keeps_ms } = await converse(channel);
    assert(keeps_ms > 0);
    ids.add(job_id);
  }
  await channel.close();
  await assertRejects(() => channel.read(["alive"]), Disconnected, "The other side has ended");
  assertEquals([ids.size, node.dialled, node.host.forgotten.length], [3, 1, 3]);
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
  assertEquals(node.server.receivedBytes, sent);
});

Deno.test("JobServer waits for no other job where it must ask for content", async () => {
  await using node = await nodeWithModule();
  const channel = new FrameChannel(node.dial());
  await channel.write(await offer(false));
  assertEquals((await channel.read(["accept"])).keeps_ms, 0);
  channel.abort(new Error("Done"));
});

Deno.test("JobServer counts each job on a connection as one of its own", async () => {
  await using node = await nodeWithModule();
  const { client, node: inner } = memoryPair();
  let left = 1;
  const serving = node.server.serve(inner, "12D3KooWClient", { mayAgain: () => left-- > 0 });
  const channel = new FrameChannel(client);
  await converse(channel);
  await converse(channel);
  await channel.write(await offer());
  const { error } = await channel.read(["reject"]);
  assertEquals([error["code"], error["retryAfterMs"]], ["busy", 1000]);
  await channel.close();
  await serving;
  assertEquals(node.host.submitted.length, 2);
});

Deno.test("JobServer lets the end of one job do nothing to the next on its connection", async () => {
  await using node = await nodeWithModule();
  const channel = new FrameChannel(node.dial());
  const first = await converse(channel);
  node.host.program = hang;
  await channel.write(await offer());
  const { job_id, secret, node_nonce } = await channel.read(["accept"]);
  // Who speaks of the first is told that it is gone, and the second does not notice.
  const other = new FrameChannel(node.dial());
  await other.write({
    type: "attach",
    version: "1.0",
    job_id: first.job_id,
    secret: first.secret,
    node_nonce: first.node_nonce,
    after: 0,
  });
  assertEquals((await other.read(["reject"])).error["code"], "not-found");
  await channel.write({ type: "cancel", version: "1.0", job_id, secret, node_nonce });
  let last: MessageOf<"event">;
  while ((last = await channel.read(["event"])).body["event"] !== "finished");
  assertEquals((last.body["receipt"] as Record<string, unknown>)["status"], "cancelled");
  channel.abort(new Error("Done"));
});

Deno.test("JobServer takes no other job before what it has to say of the last has gone", async () => {
  await using node = await nodeWithModule();
  const { client, node: inner } = memoryPair();
  const [started, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isStuck = false;
  node.host.program = async function* () {
    await started.promise;
    isStuck = true;
    yield new Uint8Array(1);
  };
  const serving = node.server.serve({
    ...inner,
    // Output comes to the client, who says that he has all, but the node does not know that it has gone.
    write: async (bytes) => {
      await inner.write(bytes);
      if (isStuck) await gone.promise;
    },
  }, "12D3KooWClient");
  const channel = new FrameChannel(client);
  await channel.write(await offer());
  const { job_id } = await channel.read(["accept"]);
  while ((await channel.read(["event"])).body["event"] !== "started");
  started.resolve();
  assertEquals((await channel.read(["event"])).body["event"], "stdout");
  await channel.write({ type: "taken", job_id });
  await channel.write(await offer());
  for (let n = 0; n < 10; n++) await new Promise((resolve) => setTimeout(resolve));
  assertEquals(node.host.submitted.length, 1);
  gone.resolve();
  await channel.read(["accept"]);
  assertEquals(node.host.submitted.length, 2);
  channel.abort(new Error("Done"));
  await serving;
});

Deno.test("JobServer forgets no job for a result that is another's", async () => {
  await using node = await nodeWithModule();
  const channel = new FrameChannel(node.dial());
  await channel.write(await offer());
  await channel.read(["accept"]);
  while ((await channel.read(["event"])).body["event"] !== "finished");
  await channel.write({ type: "taken", job_id: createJobId() });
  assertEquals((await channel.read(["reject"])).error["code"], "protocol");
  await channel.close();
});

Deno.test("runOnPeers() is not refused for a job before, which its node could not forget", async () => {
  await using node = await nodeWithModule();
  using lines = lasting(node);
  const { dial } = lines;
  const { forget } = node.host;
  node.host.forget = () => Promise.reject(new Error("The disk is full"));
  await run({ nodes: [node], isSole: true, dial });
  node.host.forget = forget;
  const { text, attempts } = await run({ nodes: [node], isSole: true, dial, retryMs: 0 });
  assertEquals([text, attempts.length, node.dialled], ["dlroW ,olleH", 1, 2]);
  assertEquals(node.log.find(({ error_code }) => error_code !== undefined)?.event, "job-forgotten");
});

Deno.test("runOnPeers() says a job's offer where the one before has ended", async () => {
  await using node = await nodeWithModule();
  using lines = lasting(node);
  const { dial } = lines;
  for (let n = 0; n < 3; n++) {
    const { text, attempts } = await run({ nodes: [node], isSole: true, dial });
    assertEquals([text, attempts[0]!.ran], ["dlroW ,olleH", "yes"]);
  }
  assertEquals([node.dialled, node.host.submitted.length], [1, 3]);
  // It might go to a node that has given it up, and only what may begin is said again.
  await run({ nodes: [node], dial });
  assertEquals(node.dialled, 2);
});

Deno.test("runOnPeers() runs a job once where the node gives its connection up as it speaks", async () => {
  await using node = await nodeWithModule();
  using lines = lasting(node);
  const { dial } = lines;
  await run({ nodes: [node], isSole: true, dial });
  node.cut();
  const { text, attempts } = await run({ nodes: [node], isSole: true, dial, retryMs: 0 });
  assertEquals([text, attempts[0]!.reconnects, node.dialled], ["dlroW ,olleH", 1, 2]);
  assertEquals(node.host.submitted.length, 2);
});

Deno.test("runOnPeers() leaves a connection alone that a cancelled job has handed back", async () => {
  await using node = await nodeWithModule();
  using lines = lasting(node);
  const { dial } = lines;
  node.host.program = hang;
  const controller = new AbortController();
  const cancelled = run({
    nodes: [node],
    isSole: true,
    dial,
    signal: controller.signal,
    onProgress: ({ phase }) => phase === "running" && controller.abort(),
  });
  await assertRejects(() => cancelled, PlasmError);
  node.host.program = reverse;
  const { text, attempts } = await run({ nodes: [node], isSole: true, dial });
  assertEquals([text, attempts[0]!.reconnects, node.dialled], ["dlroW ,olleH", 0, 1]);
});
