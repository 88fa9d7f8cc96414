import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { connectDaemon, PlasmError } from "../../../mod.ts";
import { verifyEnvelope } from "../../../lib/core/envelope.ts";
import { startDaemon } from "../../../lib/daemon/daemon.ts";
import { joinPeerNetwork } from "../../../lib/daemon/peers/peer_network.ts";
import { parseEvidence, verifyEvidence } from "../../../lib/quorum/evidence.ts";
import { testConfig } from "../../fixtures/daemon/harness.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { plasm } from "../../fixtures/plasm.ts";
import { NetworkNodes } from "../../fixtures/remote/network_nodes.ts";
import { lie } from "../../fixtures/remote/quorum_nodes.ts";
import { HELLO } from "../../fixtures/remote/real_node.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

Deno.test(
  "a daemon runs a job on nodes that must agree, and has all receipts",
  LIBP2P,
  async () => {
    await using dir = await tempDir("pl");
    await using nodes = await NetworkNodes.start(undefined, undefined, lie("false"));
    const liar = nodes.nodes[2]!.node.peerId;
    const config = testConfig(dir.path, {
      "network.enabled": true,
      "network.provide": false,
      "network.audit": 0,
      "network.listen": ["/ip4/127.0.9.1/tcp/0"],
      "network.bootstrap": nodes.bootstrap,
      "jobs.warm_executors": 0,
    });
    await using daemon = await startDaemon(config, { network: joinPeerNetwork });
    using client = connectDaemon({ socket: daemon.socket });
    const stdin = new TextEncoder().encode("Hello, World");
    const manifest = {
      profile: "deterministic",
      resources: { memory_mb: 64, timeout_seconds: 30, cpu_seconds: 30 },
    } as const;
    const submit = async (target: Record<string, unknown>): Promise<string> =>
      (await client.submit(HELLO, { manifest, stdin, target })).id;

    const id = await submit({ agree: 2, nodes: 3 });
    const { stdout, receipt } = await client.result(id);
    assertEquals(new TextDecoder().decode(stdout), "dlroW ,olleH");
    const receipts = await client.receipts(id);
    assertEquals(receipts[0], receipt);
    assertEquals(new Set(receipts.map(({ run }) => run.node.peer_id)).size, 2);
    assertEquals(new Set(receipts.map(({ run }) => run.claim_hash)).size, 1);

    const failed = await submit({ agree: 3 });
    const error = await assertRejects(() => client.result(failed), PlasmError);
    assertEquals(error.code, "bad-receipt");
    const path = String(error.details["evidence"]);
    const { contradictions } = await verifyEvidence(parseEvidence(await Deno.readFile(path)));
    const signers = contradictions.flatMap(({ first, second }) => [first, second]);
    assertEquals(signers.some(({ run }) => run.node.peer_id === liar), true);

    for (
      const [target, why] of [
        [{ nodes: 3 }, "target.nodes needs target.agree"],
        [{ agree: 1 }, "target.agree"],
        [{ agree: 3, nodes: 2 }, "target.nodes is 2, target.agree is 3"],
        [{ agree: 2, peer: liar }, "target.peer excludes target.agree"],
      ] as const
    ) {
      const refused = await assertRejects(() => submit(target), PlasmError);
      assertEquals(refused.code, "usage");
      assertStringIncludes(refused.message, why);
    }

    await Deno.writeFile(`${dir.path}/hello.wasm`, HELLO);
    const submitted = await plasm([
      ...["submit", "--remote", "--agree", "2", "--deterministic", "--socket", daemon.socket],
      ...["--memory-mb", "64", "--timeout", "30", "--cpu-seconds", "30", `${dir.path}/hello.wasm`],
    ], { stdin: "Hello, World" });
    assertEquals(submitted.code, 0, submitted.stderr);
    const { code, stdout: printed, stderr } = await plasm([
      ...["result", "--receipt", `${dir.path}/envelope.json`, "--socket", daemon.socket],
      submitted.stdout.trim(),
    ]);
    assertEquals({ code, printed }, { code: 0, printed: "dlroW ,olleH" }, stderr);
    const envelope = JSON.parse(await Deno.readTextFile(`${dir.path}/envelope.json`));
    assertEquals((await verifyEnvelope(envelope)).signers.length, 2);
  },
);
