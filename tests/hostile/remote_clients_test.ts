import { assert, assertEquals, assertLess, assertRejects } from "@std/assert";
import { createNonce } from "../../lib/core/ids.ts";
import { bytesSource, chunksOf, type RemoteJob } from "../../lib/remote/client/remote_job.ts";
import { checksumOf, Disconnected, FrameChannel } from "../../lib/remote/wire/frame_channel.ts";
import { makeOffer } from "../../lib/remote/client/handshake.ts";
import type { Message, MessageOf } from "../../lib/remote/wire/messages.ts";
import { makeJob, run, seededBytes, seededRandom, TestNode } from "../fixtures/remote/test_node.ts";

type Offer = MessageOf<"offer">;

/** Creates an offer without standard input. */
async function offerOf(job: RemoteJob, changes: Partial<Offer> = {}): Promise<Offer> {
  const offer = await makeOffer(job, { nonce: createNonce(), now: Date.now() });
  return { ...offer, stdin_data: null, ...changes };
}

/** Sends messages to a node and returns the error of its answer as `code field`. */
async function rejection(node: TestNode, ...messages: Message[]): Promise<string> {
  const channel = new FrameChannel(node.dial());
  for (const message of messages) await channel.write(message);
  while (true) {
    const answer = await channel.read(["accept", "attached", "event", "reject"]);
    if (answer.type !== "reject") continue;
    await channel.close();
    const { code, details } = answer.error as { code: string; details: Record<string, unknown> };
    return `${code} ${details["field"] ?? ""}`.trim();
  }
}

/** Offers a job and returns the acceptance. */
async function offerAccepted(
  node: TestNode,
  { job, peerId }: { job?: RemoteJob; peerId?: string } = {},
): Promise<{ channel: FrameChannel; accept: MessageOf<"accept"> }> {
  const channel = new FrameChannel(node.dial(peerId));
  await channel.write(await offerOf(job ?? await makeJob()));
  return { channel, accept: await channel.read(["accept"]) };
}

async function answerTo(channel: FrameChannel, ...messages: Message[]): Promise<string> {
  for (const message of messages) await channel.write(message);
  const { error } = await channel.read(["reject"]);
  await channel.close();
  return String(error["code"]);
}

Deno.test("JobServer rejects an offer when its parts disagree with each other or the clock", async () => {
  await using node = await TestNode.create();
  const job = await makeJob();
  const other = `sha256:${"7".repeat(64)}`;
  const minutes = 60_000;
  const cases: [Partial<Offer>, string][] = [
    [{ manifest_hash: other }, "protocol manifest_hash"],
    [{ module: { hash: other, size: 8 } }, "protocol module.hash"],
    [{ inputs: [{ hash: other, size: 8 }] }, "protocol inputs"],
    [{ stdin: { hash: job.stdin.hash, size: 0 } }, "protocol size"],
    [{ stdin: { hash: job.module.hash, size: 9 } }, "protocol size"],
    [{ expires_at: Date.now() - 10 * minutes }, "protocol expires_at"],
    [{ expires_at: Date.now() + 60 * minutes }, "protocol expires_at"],
    [{ manifest: { ...job.manifest, extra: 1 } }, "bad-manifest extra"],
    [{ stdin_data: new Uint8Array(job.stdin.size + 1) }, "protocol stdin_data"],
    [{ stdin_data: new Uint8Array(16 * 1024 + 1) }, "protocol stdin_data"],
    [{ stdin_data: new Uint8Array() }, "protocol stdin_data"],
    // The right size with wrong content.
    [{ stdin_data: new Uint8Array(job.stdin.size) }, "bad-input"],
  ];
  for (const [changes, expected] of cases) {
    assertEquals(await rejection(node, await offerOf(job, changes)), expected);
  }
  const bound = await makeJob({ stdin_hash: other });
  assertEquals(await rejection(node, await offerOf(bound)), "protocol stdin.hash");
  assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
});

Deno.test("JobServer rejects replayed offers and unexpected messages", async () => {
  await using node = await TestNode.create();
  const offer = await offerOf(await makeJob());
  const channel = new FrameChannel(node.dial());
  await channel.write(offer);
  const accept = await channel.read(["accept"]);
  assertEquals(await rejection(node, offer), "protocol nonce");

  const { job_id, secret, node_nonce } = accept;
  assertEquals(await rejection(node, { type: "taken", job_id }), "protocol");
  assertEquals(await rejection(node, { type: "begin", job_id, node_nonce }), "protocol");
  assertEquals(await rejection(node, accept), "protocol");
  const attach = { type: "attach", version: "0.2", job_id, secret, node_nonce, after: 0 } as const;
  for (const wrong of [{ secret: createNonce() }, { node_nonce: createNonce() }]) {
    assertEquals(await rejection(node, { ...attach, ...wrong }), "not-found");
    const { after: _, ...cancel } = { ...attach, ...wrong, type: "cancel" } as const;
    assertEquals(await rejection(node, cancel), "not-found");
  }
  assertEquals(
    await answerTo(channel, { type: "begin", job_id, node_nonce: createNonce() }),
    "protocol",
  );
  // The error deleted the job, so the client cannot attach to it.
  assertEquals(await rejection(node, attach), "not-found");
  assertEquals(node.host.submitted, []);
});

Deno.test("JobServer rejects excess, missing, wrong and damaged content", async () => {
  const job = await makeJob({ module: seededBytes(1000) });
  const [chunk] = await Array.fromAsync(chunksOf(job.module, 0));
  const longer = await bytesSource(seededBytes(1001));
  const [more] = await Array.fromAsync(chunksOf(longer, 0));
  const zeros = await bytesSource(new Uint8Array(1000));
  const [wrong] = await Array.fromAsync(chunksOf(zeros, 0));
  const cases: [(accept: MessageOf<"accept">) => Message[], string][] = [
    [() => [{ ...more!, hash: job.module.hash }], "protocol"],
    [() => [{ ...chunk!, offset: 1 }], "protocol"],
    [() => [chunk!, chunk!], "protocol"],
    [() => [{ ...chunk!, hash: longer.hash }], "protocol"],
    [() => [{ ...chunk!, checksum: (chunk!.checksum + 1) % 2 ** 32 }], "protocol"],
    [() => [{ ...wrong!, hash: job.module.hash }], "bad-input"],
    [({ job_id, node_nonce }) => [chunk!, { type: "begin", job_id, node_nonce }], "protocol"],
  ];
  for (const [messages, code] of cases) {
    await using node = await TestNode.create();
    const { channel, accept } = await offerAccepted(node, { job });
    assertEquals(await answerTo(channel, ...messages(accept)), code);
    assertEquals(node.server.counts, { transfer: 0, begun: 0, over: 0 });
    assertEquals(node.host.submitted, []);
  }
});

Deno.test("JobServer disconnects a client when it sends nothing", async () => {
  await using node = await TestNode.create();
  node.policy = { ...node.policy, transferMs: 1 };
  const silent = new FrameChannel(node.dial());
  assertEquals((await silent.read(["reject"])).error["code"], "peer-timeout");
  node.policy = { ...node.policy, transferMs: 30_000 };
  node.host.onCheck = () => node.policy = { ...node.policy, transferMs: 1 };
  const { channel } = await offerAccepted(node);
  assertEquals((await channel.read(["reject"])).error["code"], "slow-request");
  assertEquals(node.server.counts.transfer, 0);
});

Deno.test("JobServer disconnects a client when it sends too slowly or only reconnects", async () => {
  const real = performance.now;
  const day = 86_400_000;
  try {
    for (const comesBack of [false, true]) {
      await using node = await TestNode.create();
      const job = await makeJob({ module: seededBytes(1000) });
      const { channel, accept } = await offerAccepted(node, { job });
      const bytes = await Array.fromAsync(chunksOf(job.module, 0));
      const data = bytes[0]!.data.subarray(0, 1);
      const one = { ...bytes[0]!, data, checksum: checksumOf(data) };
      performance.now = () => real.call(performance) + day;
      if (!comesBack) {
        assertEquals(await answerTo(channel, one), "slow-request");
      } else {
        channel.abort(new Error("Test disconnects"));
        const { job_id, secret, node_nonce } = accept;
        const again = new FrameChannel(node.dial());
        await again.write({ type: "attach", version: "0.2", job_id, secret, node_nonce, after: 0 });
        await again.read(["attached"]);
        assertEquals((await again.read(["reject"])).error["code"], "slow-request");
      }
      assertEquals(node.server.counts.transfer, 0);
      performance.now = real;
    }
  } finally {
    performance.now = real;
  }
});

Deno.test("JobServer limits the offers of one peer and of all peers, and continues to serve", async () => {
  await using node = await TestNode.create();
  const { jobsPerPeer, halfOpenOffers } = node.policy;
  const codes: Record<string, number> = {};
  const held: FrameChannel[] = [];
  for (let n = 0; n < 1000; n++) {
    // The first half comes from one peer, the others from one peer each.
    const channel = new FrameChannel(node.dial(n < 500 ? "flood" : `sybil-${n}`));
    await channel.write(await offerOf(await makeJob()));
    const answer = await channel.read(["accept", "reject"]);
    if (answer.type === "accept") held.push(channel);
    else await channel.close();
    const code = answer.type === "reject" ? String(answer.error["code"]) : "accepted";
    codes[code] = (codes[code] ?? 0) + 1;
  }
  assertEquals(codes, { accepted: halfOpenOffers, busy: 1000 - halfOpenOffers });
  assertEquals(node.server.counts.transfer, halfOpenOffers);
  assert(jobsPerPeer < halfOpenOffers);
  // Some disconnect, and an honest client is served.
  for (const channel of held.slice(0, 2)) {
    channel.abort(new Error("Test disconnects"));
  }
  node.policy = { ...node.policy, halfOpenOffers: halfOpenOffers + 1 };
  assertEquals((await run({ nodes: [node] })).text, "dlroW ,olleH");
});

Deno.test("JobServer enforces the submit policy and the byte quota of a peer", async () => {
  await using node = await TestNode.create();
  const offer = async (): Promise<Offer> => await offerOf(await makeJob());
  node.policy = { ...node.policy, submit: "nobody" };
  assertEquals(await rejection(node, await offer()), "policy");
  node.policy = { ...node.policy, submit: "listed", submitters: ["12D3KooWFriend"] };
  assertEquals(await rejection(node, await offer()), "policy");
  const { channel } = await offerAccepted(node, { peerId: "12D3KooWFriend" });
  channel.abort(new Error("Test disconnects"));
  // A job counts with its content and its largest output, 2 ** 20 bytes on the fake host.
  node.policy = { ...node.policy, submit: "anyone", bytesPerPeer: 2 ** 20 };
  assertEquals(await rejection(node, await offer()), "over-limit");
  node.policy = { ...node.policy, bytesPerPeer: 2 ** 20 + 100 };
  await offerAccepted(node);
  assertEquals(await rejection(node, await offer()), "busy");
});

Deno.test("JobServer replaces a connection when the client attaches on a new one", async () => {
  await using node = await TestNode.create();
  const job = await makeJob({ module: seededBytes(300_000) });
  const { channel, accept } = await offerAccepted(node, { job });
  const [first, second, third] = await Array.fromAsync(chunksOf(job.module, 0));
  await channel.write(first!);
  const { job_id, secret, node_nonce } = accept;
  const again = new FrameChannel(node.dial());
  await again.write({ type: "attach", version: "0.2", job_id, secret, node_nonce, after: 0 });
  const { need, state } = await again.read(["attached"]);
  assertEquals(state, "transfer");
  assertEquals(need.find(({ hash }) => hash === job.module.hash)?.offset, first!.data.length);
  await assertRejects(() => channel.read(["reject"]), Disconnected);
  const [stdin] = await Array.fromAsync(chunksOf(job.stdin, 0));
  for (const message of [second!, third!, stdin!]) await again.write(message);
  await again.write({ type: "begin", job_id, node_nonce });
  assertEquals((await again.read(["event"])).body["event"], "queued");
  again.abort(new Error("Test ended"));
});

Deno.test("JobServer rejects arbitrary bytes and stores nothing for them", async () => {
  await using node = await TestNode.create();
  const random = seededRandom(23);
  const { encodeMessage } = await import("../../lib/core/cbor/cbor_frame.ts");
  const valid = encodeMessage(await offerOf(await makeJob()));
  for (let n = 0; n < 400; n++) {
    const bytes = n % 2 === 0 ? valid.slice() : new Uint8Array(Math.floor(random() * 300));
    const changes = n % 2 === 0 ? 1 + n % 5 : bytes.length;
    for (let at = 0; at < changes; at++) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    const stream = node.dial(`fuzz-${n}`);
    const length = bytes.length;
    await stream.write(new Uint8Array([(length & 0x7f) | 0x80, (length >> 7) & 0x7f]));
    await stream.write(bytes).catch(() => {}); // rejected after the first bytes
    await stream.close();
    while (await stream.read().catch(() => null) !== null);
  }
  assertLess(node.server.counts.transfer, node.policy.halfOpenOffers + 1);
  assertEquals(node.host.submitted, []);
  node.policy = { ...node.policy, halfOpenOffers: 1000 };
  assertEquals((await run({ nodes: [node] })).text, "dlroW ,olleH");
});
