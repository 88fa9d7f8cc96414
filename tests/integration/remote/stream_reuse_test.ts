import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { createJobId, createNonce } from "../../../lib/core/ids.ts";
import { Disconnected, FrameChannel } from "../../../lib/remote/wire/frame_channel.ts";
import { StreamPool } from "../../../lib/remote/libp2p/stream_pool.ts";
import { makeOffer } from "../../../lib/remote/client/handshake.ts";
import type { Receipt } from "../../../lib/core/types.gen.ts";
import type { MessageOf } from "../../../lib/remote/wire/messages.ts";
import type { RunOnPeersOptions } from "../../../lib/remote/client/remote_job.ts";
import { memoryPair } from "../../fixtures/memory_streams.ts";
import { makeJob, nodeWithModule, run, type TestNode } from "../../fixtures/remote/test_node.ts";
import { hang, reverse } from "../../fixtures/remote/fake_host.ts";

async function offer(begin = true): Promise<MessageOf<"offer">> {
  return await makeOffer(await makeJob(), {
    nonce: createNonce(),
    now: Date.now(),
    mayBegin: begin,
  });
}

/** Runs a job to its acknowledgement and returns the acceptance. */
async function runJob(channel: FrameChannel): Promise<MessageOf<"accept">> {
  await channel.write(await offer());
  const accept = await channel.read(["accept"]);
  while ((await channel.read(["event"])).body["event"] !== "finished");
  await channel.write({ type: "taken", job_id: accept.job_id });
  return accept;
}

/** Pool of a client's connections to a node; disposing it cuts them. */
function pooledDialer(node: TestNode): { dial: RunOnPeersOptions["dial"] } & Disposable {
  const cuts: (() => void)[] = [];
  const pool = new StreamPool(() => {
    const stream = node.dial();
    cuts.push(node.cut);
    const { promise: ended } = Promise.withResolvers<void>();
    return Promise.resolve({ ...stream, ended, isQuiet: () => true });
  });
  return { dial: pool.open.bind(pool), [Symbol.dispose]: () => cuts.forEach((cut) => cut()) };
}

Deno.test("JobServer accepts jobs in sequence on one stream", async () => {
  await using node = await nodeWithModule();
  let sent = 0;
  node.wrap = (stream) => ({
    ...stream,
    write: (bytes) => (sent += bytes.length, stream.write(bytes)),
  });
  const channel = new FrameChannel(node.dial());
  const ids = new Set<string>();
  for (let n = 0; n < 3; n++) {
    const { job_id, keeps_ms } = await runJob(channel);
    assert(keeps_ms > 0);
    ids.add(job_id);
  }
  await channel.close();
  await assertRejects(() => channel.read(["alive"]), Disconnected, "The peer closed the stream");
  assertEquals({
    idsSize: ids.size,
    dialled: node.dialCount,
    deletedLength: node.host.deleted.length,
  }, { idsSize: 3, dialled: 1, deletedLength: 3 });
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
  assertEquals(node.server.receivedBytes, sent);
});

Deno.test("JobServer does not offer reuse of a stream when it needs content", async () => {
  await using node = await nodeWithModule();
  const channel = new FrameChannel(node.dial());
  await channel.write(await offer(false));
  assertEquals((await channel.read(["accept"])).keeps_ms, 0);
  channel.abort(new Error("Test ended"));
});

Deno.test("JobServer counts each job on a stream against the rate limit", async () => {
  await using node = await nodeWithModule();
  const { client, node: inner } = memoryPair();
  let left = 1;
  const serving = node.server.serve(inner, "12D3KooWClient", { takeRequest: () => left-- > 0 });
  const channel = new FrameChannel(client);
  await runJob(channel);
  await runJob(channel);
  await channel.write(await offer());
  const { error } = await channel.read(["reject"]);
  assertEquals({ code: error["code"], retryAfterMs: error["retryAfterMs"] }, {
    code: "busy",
    retryAfterMs: 1000,
  });
  await channel.close();
  await serving;
  assertEquals(node.host.submitted.length, 2);
});

Deno.test("JobServer keeps the next job on a stream when a client attaches to the previous one", async () => {
  await using node = await nodeWithModule();
  const channel = new FrameChannel(node.dial());
  const first = await runJob(channel);
  node.host.program = hang;
  await channel.write(await offer());
  const { job_id, secret, node_nonce } = await channel.read(["accept"]);
  // Attaching to the first job fails, and does not affect the second.
  const other = new FrameChannel(node.dial());
  await other.write({
    type: "attach",
    version: "0.2",
    job_id: first.job_id,
    secret: first.secret,
    node_nonce: first.node_nonce,
    after: 0,
  });
  assertEquals((await other.read(["reject"])).error["code"], "not-found");
  await channel.write({ type: "cancel", version: "0.2", job_id, secret, node_nonce });
  let last: MessageOf<"event">;
  while ((last = await channel.read(["event"])).body["event"] !== "finished");
  const { claim } = last.body["receipt"] as unknown as Receipt;
  assertEquals(claim.status, "cancelled");
  channel.abort(new Error("Test ended"));
});

Deno.test("JobServer accepts the next job only when all events of the previous one are written", async () => {
  await using node = await nodeWithModule();
  const { client, node: inner } = memoryPair();
  const [started, written] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let isStuck = false;
  node.host.program = async function* () {
    await started.promise;
    isStuck = true;
    yield new Uint8Array(1);
  };
  const serving = node.server.serve({
    ...inner,
    // The client receives the output and acknowledges the result while the write on the node is still pending.
    write: async (bytes) => {
      await inner.write(bytes);
      if (isStuck) await written.promise;
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
  written.resolve();
  await channel.read(["accept"]);
  assertEquals(node.host.submitted.length, 2);
  channel.abort(new Error("Test ended"));
  await serving;
});

Deno.test("JobServer rejects `taken` when it names another job", async () => {
  await using node = await nodeWithModule();
  const channel = new FrameChannel(node.dial());
  await channel.write(await offer());
  await channel.read(["accept"]);
  while ((await channel.read(["event"])).body["event"] !== "finished");
  await channel.write({ type: "taken", job_id: createJobId() });
  assertEquals((await channel.read(["reject"])).error["code"], "protocol");
  await channel.close();
});

Deno.test("runOnPeers() completes the next job when the node could not delete the previous one", async () => {
  await using node = await nodeWithModule();
  using lines = pooledDialer(node);
  const { dial } = lines;
  const { delete: deleteJob } = node.host;
  node.host.delete = () => Promise.reject(new Error("The disk is full"));
  await run({ nodes: [node], isSole: true, dial });
  node.host.delete = deleteJob;
  const { text, attempts } = await run({ nodes: [node], isSole: true, dial, retryMs: 0 });
  assertEquals({ text, attemptsLength: attempts.length, dialled: node.dialCount }, {
    text: "dlroW ,olleH",
    attemptsLength: 1,
    dialled: 2,
  });
  assertEquals(node.log.find(({ error_code }) => error_code !== undefined)?.event, "job-deleted");
});

Deno.test("runOnPeers() reuses a stream only when the offer is repeatable", async () => {
  await using node = await nodeWithModule();
  using lines = pooledDialer(node);
  const { dial } = lines;
  for (let n = 0; n < 3; n++) {
    const { text, attempts } = await run({ nodes: [node], isSole: true, dial });
    assertEquals({ text, ran: attempts[0]!.ran }, { text: "dlroW ,olleH", ran: "yes" });
  }
  assertEquals({ dialled: node.dialCount, submitted: node.host.submitted.length }, {
    dialled: 1,
    submitted: 3,
  });
  // An offer that must not be repeated gets a new stream.
  await run({ nodes: [node], dial });
  assertEquals(node.dialCount, 2);
});

Deno.test("runOnPeers() runs a job once when a reused stream is cut", async () => {
  await using node = await nodeWithModule();
  using lines = pooledDialer(node);
  const { dial } = lines;
  await run({ nodes: [node], isSole: true, dial });
  node.cut();
  const { text, attempts } = await run({ nodes: [node], isSole: true, dial, retryMs: 0 });
  assertEquals({ text, reconnects: attempts[0]!.reconnects, dialled: node.dialCount }, {
    text: "dlroW ,olleH",
    reconnects: 1,
    dialled: 2,
  });
  assertEquals(node.host.submitted.length, 2);
});

Deno.test("runOnPeers() does not abort a stream when a cancelled job has released it", async () => {
  await using node = await nodeWithModule();
  using lines = pooledDialer(node);
  const { dial } = lines;
  node.host.program = hang;
  const controller = new AbortController();
  const cancelled = run({
    nodes: [node],
    isSole: true,
    dial,
    signal: controller.signal,
    onEvent: ({ type }) => type === "started" && controller.abort(),
  });
  await assertRejects(() => cancelled, PlasmError);
  node.host.program = reverse;
  const { text, attempts } = await run({ nodes: [node], isSole: true, dial });
  assertEquals({ text, reconnects: attempts[0]!.reconnects, dialled: node.dialCount }, {
    text: "dlroW ,olleH",
    reconnects: 0,
    dialled: 1,
  });
});
