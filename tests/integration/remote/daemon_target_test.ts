import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectDaemon, type JobTarget } from "../../../lib/client/mod.ts";
import { startDaemon } from "../../../lib/daemon/daemon.ts";
import { joinPeerNetwork } from "../../../lib/daemon/peers/peer_network.ts";
import { peerRunner } from "../../../lib/daemon/peers/remote_runner.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { sha256 } from "../../../lib/core/hash.ts";
import { createNonce } from "../../../lib/core/ids.ts";
import { createManifest } from "../../../lib/core/manifest.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { JOB_PROTOCOL } from "../../../lib/remote/wire/messages.ts";
import { testConfig, withDaemon } from "../../fixtures/daemon/harness.ts";
import { command } from "../../fixtures/hostile/case.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { HELLO, withRealNode } from "../../fixtures/remote/real_node.ts";

const FOR_EVER = await assemble(command("(loop $again (br $again))"));
const STDIN = new TextEncoder().encode("Hello, World");

Deno.test(
  "a daemon runs a job on another node for its users, and gives that node's receipt",
  LIBP2P,
  () =>
    withRealNode(async ({ bootstrap, daemon, dir }) => {
      const config = testConfig(`${dir}/asking`, {
        "network.enabled": true,
        "network.provide": false,
        "network.listen": ["/ip4/127.0.0.1/tcp/0"],
        "network.bootstrap": bootstrap,
        // More than this node gives to jobs of its own: the other's limits count.
        "jobs.ceilings.memory_mb": 16,
        "jobs.warm_executors": 0,
      });
      await Deno.mkdir(`${dir}/asking`);
      await using asking = await startDaemon(config, { network: joinPeerNetwork });
      using client = connectDaemon({ socket: asking.socket });
      const nonce = "ab".repeat(32);
      const submit = async (target: JobTarget) => {
        const { id } = await client.submit(HELLO, { stdin: STDIN, nonce, target });
        for await (const _event of client.events(id));
        return await client.job(id);
      };
      const job = await submit({});
      assertEquals(
        [job.state, job.status, job.exit_code],
        ["finished", "exited", 0],
        job.error?.message,
      );
      const stdout = await new Response(await client.output(job.id, "stdout")).bytes();
      const receipt = await client.receipt(job.id);
      assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
      const { peerId } = daemon.identity;
      assertEquals(job.peer, peerId);
      await verifyReceipt(receipt, { peerId, nonce, module: HELLO, stdin: STDIN, stdout });

      await submit({ peer: peerId, as_node: true });
      const refused = await submit({ peer: peerId, as_node: true });
      assertEquals(refused.error?.code, "protocol", "its nonce was used before");
    }),
);

Deno.test(
  "a daemon that asks a node it is told, under its own key, offers the next small job on the same stream",
  LIBP2P,
  () =>
    withRealNode(async ({ net, bootstrap, daemon, forgotten }) => {
      const network = await net.startClient({ bootstrap });
      const { dialProtocol } = network;
      let streams = 0;
      network.dialProtocol = (...to) => {
        if (to[1] === JOB_PROTOCOL) streams++;
        return dialProtocol.apply(network, to);
      };
      const peerRun = peerRunner(network, () => ({ allow: [], deny: [] }));
      const manifest = createManifest({ module_hash: await sha256(HELLO) });
      const target = { peer: daemon.identity.peerId, as_node: true };
      // The first has brought the module.
      for (const after of [1, 2, 2]) {
        const job = { manifest, nonce: createNonce(), target };
        const { signal } = new AbortController();
        const events = peerRun(job, { module: HELLO, stdin: STDIN, inputs: {}, signal });
        const last = (await Array.fromAsync(events)).at(-1)!;
        assert(last.type === "finished" && last.receipt !== undefined);
        assertEquals([last.receipt.status, streams], ["exited", after]);
        await forgotten(last.receipt.job_id);
      }
    }),
);

Deno.test(
  "a daemon asks under a key of its own for each job, or under the node's where it is told to",
  LIBP2P,
  () =>
    withRealNode(async ({ bootstrap, store, dir }) => {
      const config = testConfig(`${dir}/asking`, {
        "network.enabled": true,
        "network.provide": false,
        "network.listen": ["/ip4/127.0.0.1/tcp/0"],
        "network.bootstrap": bootstrap,
        "jobs.warm_executors": 0,
      });
      await Deno.mkdir(`${dir}/asking`);
      await using asking = await startDaemon(config, { network: joinPeerNetwork });
      using client = connectDaemon({ socket: asking.socket });
      const askedBy = async (target: JobTarget): Promise<string> => {
        const { id } = await client.submit(FOR_EVER, { target });
        const signal = AbortSignal.timeout(30_000);
        const here = () => store.list({ state: "running" })[0];
        while (here() === undefined) {
          signal.throwIfAborted();
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
        const { submitter } = here()!;
        const job = await client.cancel(id);
        assertEquals(job.status, "cancelled", job.error?.message);
        while (here() !== undefined) await new Promise((resolve) => setTimeout(resolve, 10));
        return submitter;
      };
      const own = `peer:${asking.identity.peerId}`;
      const [first, second] = [await askedBy({}), await askedBy({})];
      assertEquals(new Set([own, first, second]).size, 3);
      assertEquals(await askedBy({ as_node: true }), own);
    }),
);

Deno.test(
  "a daemon without a network refuses a target at once",
  LIBP2P,
  () =>
    withDaemon(async ({ daemon }) => {
      using client = connectDaemon({ socket: daemon.socket });
      const error = await assertRejects(
        () => client.submit(HELLO, { stdin: STDIN, target: {} }),
        PlasmError,
      );
      assertEquals([error.code, error.retryable], ["no-peer", false]);
      const wrong = await assertRejects(
        () => client.submit(HELLO, { target: { attempts: 0 } }),
        PlasmError,
      );
      assertEquals(wrong.code, "usage");
    }),
);
