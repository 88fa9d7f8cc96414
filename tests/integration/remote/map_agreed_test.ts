/**
 * Tests maps whose items several nodes must agree on, one of which lies.
 *
 * @module
 */
import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { PlasmError } from "../../../lib/core/errors/errors.ts";
import { verifyEnvelope } from "../../../lib/core/envelope.ts";
import { mapJobs, type MapNetwork, type MapResult } from "../../../lib/map/map_jobs.ts";
import { verifyEvidence } from "../../../lib/quorum/evidence.ts";
import { LIBP2P } from "../../fixtures/p2p/nodes.ts";
import { plasm } from "../../fixtures/plasm.ts";
import { lie } from "../../fixtures/remote/quorum_nodes.ts";
import { NetworkNodes } from "../../fixtures/remote/network_nodes.ts";
import { HELLO } from "../../fixtures/remote/real_node.ts";
import { tempDir } from "../../fixtures/temp_dir.ts";

const ITEMS = ["one", "two", "three", "four", "five", "six"];
const REVERSED = ITEMS.map((text) => [...text].reverse().join(""));

/** Limits that the small nodes allow. */
const MANIFEST = {
  profile: "deterministic",
  resources: { memory_mb: 64, timeout_seconds: 30, cpu_seconds: 30 },
} as const;
const LIMITS = ["--memory-mb", "64", "--timeout", "30", "--cpu-seconds", "30", "--deterministic"];

async function mapAgreed(where: MapNetwork): Promise<MapResult<string>[]> {
  const describe = (text: string) => ({ ...MANIFEST, stdin: new TextEncoder().encode(text) });
  return await Array.fromAsync(
    mapJobs(HELLO, ITEMS, { where, describe, keepOrder: true, memoryMb: 64 }),
  );
}

Deno.test(
  "mapJobs() accepts what nodes agree on, and asks one that lied only once",
  LIBP2P,
  async () => {
    await using nodes = await NetworkNodes.start(lie("false"), undefined, undefined);
    const [liar, ...honest] = nodes.nodes;
    const results = await mapAgreed({ bootstrap: nodes.bootstrap, agree: 2, nodes: 3 });
    assertEquals(
      results.map(({ stdout }) => new TextDecoder().decode(stdout)),
      REVERSED,
    );
    const signers = honest.map(({ node }) => node.peerId).toSorted();
    for (const { receipts, node } of results) {
      assertEquals(node, "agreed");
      assertEquals(receipts!.map(({ run }) => run.node.peer_id).toSorted(), signers);
    }
    // Jobs that started before its first answer was compared.
    assert(liar!.host.submitted.length <= 2, `${liar!.host.submitted.length}`);
    const [first] = results.flatMap(({ evidence }) => evidence ?? []);
    const { contradictions } = await verifyEvidence(first);
    const { peerId } = liar!.node;
    for (const pair of contradictions) {
      assert([pair.first, pair.second].some(({ run }) => run.node.peer_id === peerId));
    }
  },
);

Deno.test("mapJobs() ends when too few nodes are left to agree", LIBP2P, async () => {
  await using nodes = await NetworkNodes.start(undefined, undefined);
  const { bootstrap } = nodes;
  const error = await assertRejects(() => mapAgreed({ bootstrap, agree: 3 }), PlasmError);
  assertEquals(error.code, "no-peer");
  assertStringIncludes(error.message, "3 nodes must agree, found 2");
  for (const where of [{ agree: 1 }, { agree: 2, nodes: 17 }, { nodes: 3 }]) {
    const refused = await assertRejects(() => mapAgreed({ bootstrap, ...where }), PlasmError);
    assertEquals(refused.code, "usage");
  }
});

Deno.test(
  "plasm map --agree stores envelopes, and evidence where nodes disagree",
  LIBP2P,
  async () => {
    await using temp = await tempDir("pl");
    await using nodes = await NetworkNodes.start(undefined, lie("false"), undefined);
    const dir = temp.path;
    const module = `${dir}/hello.wasm`;
    await Deno.writeFile(module, HELLO);
    for (const name of ITEMS) await Deno.writeTextFile(`${dir}/${name}`, name);
    const env = {
      PLASM_STATE_DIR: `${dir}/client`,
      HOME: dir,
      DENO_DIR: Deno.env.get("DENO_DIR") ?? `${Deno.env.get("HOME")}/.cache/deno`,
    };
    const run = (agree: string, ...options: string[]) =>
      plasm([
        ...["map", "--remote", "--bootstrap", nodes.bootstrap[0]!, "--agree", agree, ...LIMITS],
        ...["-k", "--stdin", `${dir}/{}`, ...options, module, ":::", ...ITEMS],
      ], { env });
    const results = ["--results", `${dir}/out`];

    const agreed = await run("2/3", ...results);
    assertEquals([agreed.code, agreed.stdout], [0, REVERSED.join("")], agreed.stderr);
    const envelope = JSON.parse(await Deno.readTextFile(`${dir}/out/0/6/envelope.json`));
    const honest = [nodes.nodes[0]!, nodes.nodes[2]!].map(({ node }) => node.peerId);
    const { signers } = await verifyEnvelope(envelope);
    assertEquals(signers.map(({ peerId }) => peerId).toSorted(), honest.toSorted());
    const [, path] = /plasm verify (\S+)/.exec(agreed.stderr)!;
    assert(path!.startsWith(`${dir}/out/evidence/`), path);
    const shown = await plasm(["verify", path!], { env });
    assertStringIncludes(shown.stdout, "contradiction", shown.stderr);
    const { nodes: summary } = JSON.parse(await Deno.readTextFile(`${dir}/out/summary.json`));
    const liar = nodes.nodes[1]!.node.peerId;
    for (const { node, jobs, failures } of summary) {
      assertEquals(node === liar ? jobs : failures, 0);
    }

    // Results of two nodes do not hold for three.
    await nodes.add();
    const stricter = await run("3", ...results, "--resume", "--joblog", `${dir}/log`);
    assertEquals(stricter.code, 0, stricter.stderr);
    assertEquals((await Deno.readTextFile(`${dir}/log`)).trimEnd().split("\n").length, 7);
    const again = await run("2", ...results, "--resume");
    assertEquals([again.code, again.stdout], [0, ""], again.stderr);

    nodes.nodes[3]!.host.program = lie("other");
    const disputed = await run("3", "--json", "--halt", "never");
    assertEquals(disputed.code, ITEMS.length, disputed.stderr);
    for (const line of disputed.stdout.trimEnd().split("\n").slice(0, -1)) {
      const { error, evidence } = JSON.parse(line);
      assertEquals(error.code, "bad-receipt");
      assert(evidence.startsWith(`${dir}/client/evidence/`), evidence);
    }
  },
);
