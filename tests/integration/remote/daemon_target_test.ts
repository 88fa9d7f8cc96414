import { assert, assertEquals, assertRejects } from "@std/assert";
import { connectDaemon, type JobTarget } from "../../../lib/client/mod.ts";
import { startDaemon } from "../../../lib/daemon/daemon.ts";
import { AnonymousPool } from "../../../lib/daemon/peers/anonymous_pool.ts";
import { joinPeerNetwork } from "../../../lib/daemon/peers/peer_network.ts";
import { peerRunner } from "../../../lib/daemon/peers/remote_runner.ts";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { sha256 } from "../../../lib/core/hash.ts";
import { createJobId, createNonce } from "../../../lib/core/ids.ts";
import { createManifest } from "../../../lib/core/manifest.ts";
import { verifyReceipt } from "../../../lib/core/verify_receipt.ts";
import { AuditLedger } from "../../../lib/quorum/audit_ledger.ts";
import { JOB_PROTOCOL } from "../../../lib/remote/wire/messages.ts";
import { testConfig, testDaemon } from "../../fixtures/daemon/harness.ts";
import { command } from "../../fixtures/hostile/case.ts";
import { assemble } from "../../fixtures/hostile/wat.ts";
import { assemble as assembleWithNames } from "../../fixtures/reorder_modules.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { HELLO, realNode } from "../../fixtures/remote/real_node.ts";

const FOR_EVER = await assemble(command("(loop $again (br $again))"));
const STDIN = new TextEncoder().encode("Hello, World");

Deno.test(
  "a daemon runs a job on another node for its users and returns that node's receipt",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { bootstrap, daemon, dir } = node;
    const config = testConfig(`${dir}/asking`, {
      "network.enabled": true,
      "network.provide": false,
      "network.listen": ["/ip4/127.0.0.1/tcp/0"],
      "network.bootstrap": bootstrap,
      // Lower than the job asks for: the ceilings of the other node apply.
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
    assertEquals({ state: job.state, status: job.status, exitCode: job.exit_code }, {
      state: "finished",
      status: "exited",
      exitCode: 0,
    }, job.error?.message);
    const stdout = await new Response(await client.output(job.id, "stdout")).bytes();
    const receipt = await client.receipt(job.id);
    assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
    const { peerId } = daemon.identity;
    assertEquals(job.peer, peerId);
    await verifyReceipt(receipt, { peerId, nonce, module: HELLO, stdin: STDIN, stdout });

    const trapping = await assembleWithNames(`(module (memory (export "memory") 1)
      (func $inner unreachable) (func (export "_start") (call $inner)))`);
    const { id } = await client.submit(trapping, { target: {} });
    const { job: trapped } = await client.result(id);
    assertEquals([trapped.status, trapped.backtrace?.map(({ name }) => name)], [
      "trapped",
      ["inner", null],
    ]);

    await submit({ peer: peerId, as_node: true });
    const refused = await submit({ peer: peerId, as_node: true });
    assertEquals(refused.error?.code, "protocol", "its nonce was used before");
  },
);

Deno.test(
  "peerRunner() reuses the stream for the next small job when it names a node and uses the daemon's key",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { net, bootstrap, daemon, deleted } = node;
    const network = await net.startClient({ bootstrap });
    const { dialOptimistic } = network;
    let streams = 0;
    network.dialOptimistic = (...to) => {
      if (to[1] === JOB_PROTOCOL) streams++;
      return dialOptimistic.apply(network, to);
    };
    const peerRun = peerRunner(network, {
      anonymous: new AnonymousPool({
        lists: () => ({ allow: [], deny: [], private_addresses: "last" }),
      }),
      ledger: new AuditLedger(),
      auditor: { consider: () => {} },
      stateDir: node.dir,
    });
    const manifest = createManifest({ module_hash: await sha256(HELLO) });
    const target = { peer: daemon.identity.peerId, as_node: true };
    // The first job transfers the module.
    for (const after of [1, 2, 2]) {
      const job = { id: createJobId(), manifest, nonce: createNonce(), target };
      const { signal } = new AbortController();
      const events = peerRun(job, { module: HELLO, stdin: STDIN, inputs: {}, signal });
      const last = (await Array.fromAsync(events)).at(-1)!;
      assert(last.type === "finished" && last.receipt !== undefined);
      assertEquals({ status: last.receipt.claim.status, streams }, {
        status: "exited",
        streams: after,
      });
      await deleted(last.receipt.run.job_id);
    }
  },
);

Deno.test(
  "a daemon submits each job under a new key, or under its own when as_node is set",
  LIBP2P,
  async () => {
    await using node = await realNode();
    const { bootstrap, store, dir } = node;
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
    const submitterOf = async (target: JobTarget): Promise<string> => {
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
    // The first job starts its client; the others take one that waited.
    const submitters: string[] = [];
    for (let job = 0; job < 4; job++) submitters.push(await submitterOf({}));
    assertEquals(new Set([own, ...submitters]).size, 5);
    assertEquals(await submitterOf({ as_node: true }), own);
  },
);

Deno.test(
  "a daemon without a network rejects a target at once",
  LIBP2P,
  async () => {
    await using fixture = await testDaemon();
    const { daemon } = fixture;
    using client = connectDaemon({ socket: daemon.socket });
    const error = await assertRejects(
      () => client.submit(HELLO, { stdin: STDIN, target: {} }),
      PlasmError,
    );
    assertEquals({ code: error.code, retryable: error.retryable }, {
      code: "disabled",
      retryable: false,
    });
    const wrong = await assertRejects(
      () => client.submit(HELLO, { target: { attempts: 0 } }),
      PlasmError,
    );
    assertEquals(wrong.code, "usage");
  },
);
