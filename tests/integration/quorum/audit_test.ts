import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connectDaemon, PlasmError } from "../../../mod.ts";
import { startDaemon } from "../../../lib/daemon/daemon.ts";
import { joinPeerNetwork } from "../../../lib/daemon/peers/peer_network.ts";
import { parseEvidence, verifyEvidence } from "../../../lib/quorum/evidence.ts";
import type { Jobs } from "../../../lib/daemon/jobs/jobs.ts";
import { testConfig, testDaemon } from "../../fixtures/daemon/harness.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { plasm } from "../../fixtures/plasm.ts";
import { NetworkNodes } from "../../fixtures/remote/network_nodes.ts";
import { lie } from "../../fixtures/remote/quorum_nodes.ts";
import { HELLO } from "../../fixtures/remote/real_node.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

interface AuditStatus {
  reproduced: number;
  false: number;
  banned: { peer_id: string }[];
  false_results: { evidence: string }[];
}

Deno.test("a job that needs this machine ends its idle time before it starts, one on another node does not", async () => {
  const context: { jobs?: Jobs } = {};
  const idle: boolean[] = [];
  await using fixture = await testDaemon({
    network: ({ jobs }) => {
      context.jobs = jobs;
      jobs.setIdleEnd(() => idle.push(jobs.isIdle));
      // deno-lint-ignore require-yield -- a runner that finds no node yields no event
      jobs.setPeerRunner(async function* () {
        await Promise.resolve();
        throw new PlasmError("no-peer", "Cannot run job: no node found");
      });
      return Promise.resolve(undefined);
    },
  });
  const { submit, sandbox, over } = fixture;
  await over(await submit([], { target: {} }));
  assertEquals(idle, []);
  const local = await submit(["block", "x"]);
  await sandbox.untilStarted(1);
  assertEquals({ idle, isIdle: context.jobs!.isIdle }, { idle: [false], isIdle: false });
  sandbox.release("x");
  await context.jobs!.ended(local);
  assertEquals(context.jobs!.isIdle, true);
});

Deno.test(
  "the daemon audits results of other nodes and sends no jobs to a node that lied",
  LIBP2P,
  async () => {
    await using dir = await tempDir("pl");
    await using nodes = await NetworkNodes.start(undefined, lie("false"));
    const [honest, liar] = nodes.nodes.map(({ node }) => node.peerId) as [string, string];
    const config = testConfig(dir.path, {
      "network.enabled": true,
      "network.provide": false,
      "network.listen": ["/ip4/127.0.9.1/tcp/0"],
      "network.bootstrap": nodes.bootstrap,
      "jobs.warm_executors": 0,
    });
    await using daemon = await startDaemon(config, { network: joinPeerNetwork });
    using client = connectDaemon({ socket: daemon.socket });
    const audit = async (): Promise<AuditStatus> =>
      (await client.node()).network!["audit"] as unknown as AuditStatus;
    const manifest = {
      profile: "deterministic",
      resources: { memory_mb: 64, timeout_seconds: 30, cpu_seconds: 30 },
    } as const;
    const stdin = new TextEncoder().encode("Hello, World");
    const run = async (peer: string): Promise<void> => {
      const { id } = await client.submit(HELLO, { manifest, stdin, target: { peer } });
      await client.result(id);
    };
    const until = async (isDone: (status: AuditStatus) => boolean): Promise<AuditStatus> => {
      const signal = AbortSignal.timeout(15_000);
      for (;;) {
        const status = await audit();
        if (isDone(status)) return status;
        if (signal.aborted) throw new Error(`Not audited: ${JSON.stringify(status)}`);
        // Audits have no event of their own.
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    };
    await run(honest);
    assertEquals((await until(({ reproduced }) => reproduced > 0)).false, 0);
    await run(liar);
    const { banned, false_results } = await until((status) => status.false > 0);
    assertEquals(banned.map(({ peer_id }) => peer_id), [liar]);
    const evidence = parseEvidence(await Deno.readFile(false_results[0]!.evidence));
    const { receipts } = await verifyEvidence(evidence);
    assertEquals(receipts.map(({ run }) => run.node.peer_id), [liar, daemon.identity.peerId]);

    const refused = await assertRejects(() => run(liar), PlasmError);
    assertEquals(refused.code, "policy");
    const anywhere = await client.submit(HELLO, { manifest, stdin, target: {} });
    assertEquals((await client.result(anywhere.id)).receipt.run.node.peer_id, honest);

    const shown = await plasm(["status", "--socket", daemon.socket]);
    assertStringIncludes(shown.stdout, `plasm verify ${false_results[0]!.evidence}`);
    using http = Deno.createHttpClient({ proxy: { transport: "unix", path: daemon.socket } });
    const metrics = await (await fetch("http://localhost/metrics", { client: http })).text();
    assertStringIncludes(metrics, 'plasm_audits_total{outcome="false"} 1');
    assertStringIncludes(metrics, "plasm_banned_nodes 1");
  },
);
