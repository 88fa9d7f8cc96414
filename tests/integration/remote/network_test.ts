import { assert, assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import type { ByteStream } from "../../../lib/remote/wire/byte_stream.ts";
import { jobDialer } from "../../../lib/remote/libp2p/network_binding.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { runRemoteJob } from "../../../lib/remote/run_remote_job.ts";
import { runOnPeers } from "../../../lib/remote/client/run_on_peers.ts";
import { command } from "../../fixtures/hostile/case.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { makeJob } from "../../fixtures/remote/bench.ts";
import {
  candidatesOf,
  HELLO,
  padded,
  textOf,
  withRealNode,
} from "../../fixtures/remote/real_node.ts";

const FOR_EVER = await assemble(command("(loop $again (br $again))"));

Deno.test(
  "runOnPeers() finds a daemon in the DHT, runs a job there, and nothing stays",
  LIBP2P,
  () =>
    withRealNode(async ({ net, daemon, bootstrap, store, forgotten }) => {
      const client = await net.startClient({ bootstrap });
      const job = await makeJob({ module: HELLO });
      const options = () => ({ dial: jobDialer(client), candidates: candidatesOf(client) });
      const result = await runOnPeers(job, options());
      assertEquals(await textOf(result.output.read("stdout")), "dlroW ,olleH");
      assertEquals(result.receipt.node.peer_id, daemon.identity.peerId);
      assertEquals([result.receipt.status, result.receipt.exit_code], ["exited", 0]);
      assertEquals(result.attempts[0]!.sentBytes, HELLO.length + 12);
      await forgotten(result.receipt.job_id);
      // The module stays in the cache, which is told to others; what was read by it does not.
      assert(store.blobs.info(job.module.hash) !== undefined);
      assertEquals(store.blobs.info(job.stdin.hash), undefined);
      const again = await runOnPeers(job, options());
      assertEquals(again.attempts[0]!.sentBytes, 12);
    }),
);

Deno.test(
  "runOnPeers() needs one stream of libp2p for one small job after the other",
  LIBP2P,
  () =>
    withRealNode(async ({ net, daemon, bootstrap, forgotten }) => {
      const client = await net.startClient({ bootstrap });
      const { peerId } = daemon.identity;
      await client.ask(peerId);
      let streams = 0;
      const dial = jobDialer({
        dialProtocol: (...to) => (streams++, client.dialProtocol(...to)),
      });
      const job = await makeJob({ module: HELLO });
      for (const after of [1, 2, 2, 2]) {
        const result = await runOnPeers(job, { dial, candidates: [{ peerId }], isSole: true });
        assertEquals(await textOf(result.output.read("stdout")), "dlroW ,olleH");
        // The first has brought the module: a stream of chunks is not used again.
        assertEquals(streams, after);
        await forgotten(result.receipt.job_id);
      }
    }),
);

Deno.test(
  "runOnPeers() is told by a peer that takes no jobs, though it speaks before it has agreed",
  LIBP2P,
  () =>
    withRealNode(async ({ net, bootstrap }) => {
      const client = await net.startClient({ bootstrap });
      const peerId = bootstrap[0]!.split("/p2p/")[1]!;
      await client.noteAddresses(peerId, bootstrap);
      const error = await assertRejects(
        async () =>
          await runOnPeers(await makeJob({ module: HELLO }), {
            dial: jobDialer(client),
            candidates: [{ peerId }],
            attempts: 1,
          }),
        PlasmError,
        "does not take jobs",
      );
      assertEquals(error.code, "no-peer");
    }),
);

Deno.test(
  "a node's ceilings and policy win, with figures",
  LIBP2P,
  () =>
    withRealNode(async ({ net, bootstrap }) => {
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
      assertEquals([error.code, asked, allowed], ["over-limit", 128, 64]);
    }, { "network.policy.ceilings.memory_mb": 64 }),
);

Deno.test(
  "runOnPeers() goes on over cut streams of libp2p",
  LIBP2P,
  () =>
    withRealNode(async ({ net, bootstrap, daemon, forgotten }) => {
      const client = await net.startClient({ bootstrap });
      const { transport } = await client.ask(daemon.identity.peerId);
      assertEquals(transport, "quic");
      const dial = jobDialer(client);
      const job = await makeJob({ module: padded(HELLO, 4 * 2 ** 20) });
      const cuts = [100_000, 1_000_000, 700_000, 3];
      let dialled = 0;
      const result = await runOnPeers(job, {
        dial: async (peerId, options) => {
          const limit = cuts[dialled++];
          const duplex = await dial(peerId, options);
          return limit === undefined ? duplex : cutAfter(duplex, limit);
        },
        candidates: [{ peerId: daemon.identity.peerId }],
        retryMs: 0,
      });
      assertEquals(await textOf(result.output.read("stdout")), "dlroW ,olleH");
      assertEquals(result.attempts.length, 1);
      // The last line broke before the node had heard who is there.
      assertEquals(result.attempts[0]!.reconnects, cuts.length - 1);
      await forgotten(result.receipt.job_id);
    }),
);

Deno.test(
  "an aborted signal stops the job on its node",
  LIBP2P,
  () =>
    withRealNode(async ({ net, bootstrap, store, forgotten }) => {
      const client = await net.startClient({ bootstrap });
      const stop = new AbortController();
      let jobId = "";
      const error = await assertRejects(
        async () =>
          runOnPeers(await makeJob({ module: FOR_EVER }), {
            dial: jobDialer(client),
            candidates: candidatesOf(client),
            signal: stop.signal,
            onProgress: (progress) => {
              if (progress.phase === "accepted") jobId = progress.jobId;
              if (progress.phase === "running") stop.abort();
            },
          }),
        PlasmError,
      );
      assertEquals(error.exitCode, 130);
      await forgotten(jobId);
      assertEquals(store.counts().running, 0);
    }),
);

Deno.test(
  "runRemoteJob() does all of it by one call, inputs included",
  LIBP2P,
  () =>
    withRealNode(async ({ daemon, bootstrap }) => {
      const stdin = new TextEncoder().encode("Hello, World");
      const phases = new Set<string>();
      const { stdout, stderr, peerId, attempts, receipt } = await runRemoteJob(HELLO, {
        bootstrap,
        stdin,
        inputs: { "data/": new Uint8Array(), "data/a.txt": stdin, "data/b.txt": HELLO },
        onProgress: ({ phase }) => phases.add(phase),
      });
      assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
      assertEquals([stderr.length, peerId], [0, daemon.identity.peerId]);
      assertEquals(attempts, [{ peerId, ran: "yes" }]);
      assert(phases.has("verifying"));
      await verifyReceipt(receipt, { peerId, module: HELLO, stdin, stdout });
    }),
);

Deno.test(
  "a module larger than any buffer goes over one connection",
  LIBP2P,
  () =>
    withRealNode(async ({ net, bootstrap, daemon }) => {
      const client = await net.startClient({ bootstrap });
      await client.ask(daemon.identity.peerId);
      const job = await makeJob({ module: padded(HELLO, 48 * 2 ** 20) });
      const { output, attempts } = await runOnPeers(job, {
        dial: jobDialer(client),
        candidates: [{ peerId: daemon.identity.peerId }],
      });
      assertEquals(await textOf(output.read("stdout")), "dlroW ,olleH");
      // A node that reads more slowly than it is sent to must hold the client back, not break off.
      assertEquals([attempts.length, attempts[0]!.reconnects], [1, 0]);
    }),
);

/** Breaks a connection after so many bytes were written. */
function cutAfter(duplex: ByteStream, limit: number): ByteStream {
  let left = limit;
  return {
    ...duplex,
    async write(bytes) {
      await duplex.write(bytes.subarray(0, left));
      left -= bytes.length;
      if (left <= 0) duplex.abort(new Error("The line was cut"));
    },
  };
}
