import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import type { ByteStream } from "../../../lib/remote/wire/frame_channel.ts";
import { jobDialer } from "../../../lib/remote/libp2p/stream_pool.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { runRemoteJob } from "../../../lib/remote/run_remote_job.ts";
import { runOnPeers } from "../../../lib/remote/client/run_on_peers.ts";
import { command } from "../../fixtures/hostile/case.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { makeJob } from "../../fixtures/remote/test_node.ts";
import { candidatesOf, HELLO, padded, realNode, textOf } from "../../fixtures/remote/real_node.ts";

const LOOP_FOREVER = await assemble(command("(loop $again (br $again))"));

Deno.test(
  "runOnPeers() runs a job on a daemon found in the DHT, which deletes the job afterwards",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, daemon, bootstrap, store, deleted } = node;
    const client = await net.startClient({ bootstrap });
    const job = await makeJob({ module: HELLO });
    const options = () => ({ dial: jobDialer(client), candidates: candidatesOf(client) });
    const result = await runOnPeers(job, options());
    assertEquals(await textOf(result.output.read("stdout")), "dlroW ,olleH");
    assertEquals(result.receipt.run.node.peer_id, daemon.identity.peerId);
    assertEquals(
      { status: result.receipt.claim.status, exitCode: result.receipt.claim.exit_code },
      {
        status: "exited",
        exitCode: 0,
      },
    );
    assertEquals(result.attempts[0]!.sentBytes, HELLO.length + 12);
    await deleted(result.receipt.run.job_id);
    // The module stays in the cache; its input does not.
    assert(store.blobs.info(job.module.hash) !== undefined);
    assertEquals(store.blobs.info(job.stdin.hash), undefined);
    const again = await runOnPeers(job, options());
    assertEquals(again.attempts[0]!.sentBytes, 12);
  },
);

Deno.test(
  "runOnPeers() uses one libp2p stream when small jobs run in sequence",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, daemon, bootstrap, deleted } = node;
    const client = await net.startClient({ bootstrap });
    const { peerId } = daemon.identity;
    await client.queryPeer(peerId);
    let streams = 0;
    const dial = jobDialer({
      dialOptimistic: (...to) => (streams++, client.dialOptimistic(...to)),
    });
    const job = await makeJob({ module: HELLO });
    for (const after of [1, 2, 2, 2]) {
      const result = await runOnPeers(job, { dial, candidates: [{ peerId }], isSole: true });
      assertEquals(await textOf(result.output.read("stdout")), "dlroW ,olleH");
      // The first job transfers the module, and a stream that carried chunks is not reused.
      assertEquals(streams, after);
      await deleted(result.receipt.run.job_id);
    }
  },
);

Deno.test(
  "runOnPeers() throws no-peer when the peer does not support the protocol of an optimistic stream",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, bootstrap } = node;
    const client = await net.startClient({ bootstrap });
    const peerId = bootstrap[0]!.split("/p2p/")[1]!;
    await client.addAddresses(peerId, bootstrap);
    const error = await assertRejects(
      async () =>
        await runOnPeers(await makeJob({ module: HELLO }), {
          dial: jobDialer(client),
          candidates: [{ peerId }],
          attempts: 1,
        }),
      PlasmError,
      "does not accept jobs",
    );
    assertEquals(error.code, "no-peer");
  },
);

Deno.test(
  "a node rejects a job beyond its ceilings, with figures",
  LIBP2P,
  async () => {
    await using node = await realNode({ "network.policy.ceilings.memory_mb": 64 });
    const { net, bootstrap } = node;
    const client = await net.startClient({ bootstrap });
    const job = await makeJob({ module: HELLO, resources: { memory_mb: 128 } });
    const error = await assertRejects(
      () =>
        runOnPeers(job, {
          dial: jobDialer(client),
          candidates: candidatesOf(client),
          attempts: 1,
        }),
      PlasmError,
    );
    const { asked, allowed } = error.details;
    assertEquals({ code: error.code, asked, allowed }, {
      code: "over-limit",
      asked: 128,
      allowed: 64,
    });
  },
);

Deno.test(
  "runOnPeers() resumes the transfer when libp2p streams are cut",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, bootstrap, daemon, deleted } = node;
    const client = await net.startClient({ bootstrap });
    const { transport } = await client.queryPeer(daemon.identity.peerId);
    assertEquals(transport, "quic");
    const dial = jobDialer(client);
    const job = await makeJob({ module: padded(HELLO, 4 * 2 ** 20) });
    const cuts = [100_000, 1_000_000, 700_000, 3];
    let dialled = 0;
    const result = await runOnPeers(job, {
      dial: async (peerId, options) => {
        const limit = cuts[dialled++];
        const stream = await dial(peerId, options);
        return limit === undefined ? stream : cutAfter(stream, limit);
      },
      candidates: [{ peerId: daemon.identity.peerId }],
      retryMs: 0,
    });
    assertEquals(await textOf(result.output.read("stdout")), "dlroW ,olleH");
    assertEquals(result.attempts.length, 1);
    // The last connection is cut before the node has read the request.
    assertEquals(result.attempts[0]!.reconnects, cuts.length - 1);
    await deleted(result.receipt.run.job_id);
  },
);

Deno.test(
  "runOnPeers() stops the job on its daemon when the signal aborts",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, bootstrap, store, deleted } = node;
    const client = await net.startClient({ bootstrap });
    const stop = new AbortController();
    let jobId = "";
    const error = await assertRejects(
      async () =>
        runOnPeers(await makeJob({ module: LOOP_FOREVER }), {
          dial: jobDialer(client),
          candidates: candidatesOf(client),
          signal: stop.signal,
          onEvent: (event) => {
            if (event.type === "queued") jobId = event.jobId;
            if (event.type === "started") stop.abort();
          },
        }),
      PlasmError,
    );
    assertEquals(error.exitCode, 130);
    await deleted(jobId);
    assertEquals(store.counts().running, 0);
  },
);

Deno.test(
  "runRemoteJob() joins the network, runs a job with inputs and verifies the result",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { daemon, bootstrap } = node;
    const stdin = new TextEncoder().encode("Hello, World");
    const types = new Set<string>();
    const { stdout, stderr, peerId, attempts, receipt } = await runRemoteJob(HELLO, {
      bootstrap,
      stdin,
      inputs: { "data/": new Uint8Array(), "data/a.txt": stdin, "data/b.txt": HELLO },
      onEvent: ({ type }) => types.add(type),
    });
    assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
    assertEquals({ stderrLength: stderr.length, peerId }, {
      stderrLength: 0,
      peerId: daemon.identity.peerId,
    });
    assertEquals(attempts, [{ peerId, ran: "yes" }]);
    assert(types.has("verifying") && types.has("finished"));
    await verifyReceipt(receipt, { peerId, module: HELLO, stdin, stdout });
  },
);

Deno.test(
  "runOnPeers() sends a module larger than any buffer over one connection",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, bootstrap, daemon } = node;
    const client = await net.startClient({ bootstrap });
    await client.queryPeer(daemon.identity.peerId);
    const job = await makeJob({ module: padded(HELLO, 48 * 2 ** 20) });
    const { output, attempts } = await runOnPeers(job, {
      dial: jobDialer(client),
      candidates: [{ peerId: daemon.identity.peerId }],
    });
    assertEquals(await textOf(output.read("stdout")), "dlroW ,olleH");
    // A node that reads more slowly than the client sends must apply backpressure, not disconnect.
    assertEquals({ attemptsLength: attempts.length, reconnects: attempts[0]!.reconnects }, {
      attemptsLength: 1,
      reconnects: 0,
    });
  },
);

/** Aborts a stream after `limit` written bytes. */
function cutAfter(stream: ByteStream, limit: number): ByteStream {
  let left = limit;
  return {
    ...stream,
    async write(bytes) {
      await stream.write(bytes.subarray(0, left));
      left -= bytes.length;
      if (left <= 0) stream.abort(new Error("The connection was cut"));
    },
  };
}
