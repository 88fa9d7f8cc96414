/**
 * Runs jobs between a client of one architecture and a node of another over the real protocol, and runs bundles of one
 * again on the other.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { verifyEnvelope } from "../../lib/core/envelope.ts";
import { binaryFile, LINUX_TARGETS } from "../../scripts/compile/targets.ts";
import { crossArchRun } from "../../scripts/cross_arch_demo.ts";
import { nondeterministicModule } from "../fixtures/nondeterministic_modules.ts";
import { plasm, type PlasmResult } from "../fixtures/plasm.ts";
import { tempDir } from "../fixtures/temp_dir.ts";

const reason = await whyNot();
if (reason !== undefined) console.warn(`SKIPPED: cross-architecture runs: ${reason}`);

async function whyNot(): Promise<string | undefined> {
  for (const target of LINUX_TARGETS) {
    try {
      const { success } = await new Deno.Command(binaryFile(target), { args: ["version"] })
        .output();
      if (!success) return `binary for ${target.triple} does not start`;
    } catch (error) {
      return `binary for ${target.triple} cannot be started: ${error}`;
    }
  }
  return undefined;
}

for (const [client, node] of [LINUX_TARGETS, LINUX_TARGETS.toReversed()]) {
  Deno.test({
    name: `crossArchRun() runs a job of ${client!.triple} on ${node!.triple}`,
    ignore: reason !== undefined,
    async fn() {
      const run = await crossArchRun(client!, node!);
      assertEquals({ client: run.client, node: run.node, stdout: run.stdout }, {
        client: client!.triple.split("-")[0],
        node: node!.triple.split("-")[0],
        stdout: "dlroW ,olleH",
      });
      assertMatch(run.verified, /^receipt verified\n/);
      assert(run.discoveryMs > 0 && run.executionMs > 0);
    },
  });
}

for (const [first, second] of [LINUX_TARGETS, LINUX_TARGETS.toReversed()]) {
  Deno.test({
    name: `plasm verify --rerun on ${second!.triple} reproduces a bundle of ${first!.triple}`,
    ignore: reason !== undefined,
    async fn() {
      await using temp = await tempDir();
      const path = (name: string): string => `${temp.path}/${name}`;
      const run = async (target: typeof first, ...args: string[]): Promise<PlasmResult> => {
        const result = await plasm(args, {
          program: [decodeURIComponent(binaryFile(target!).pathname)],
          env: { PLASM_STATE_DIR: path(target!.triple) },
        });
        assertEquals(result.code, 0, result.stderr);
        return result;
      };
      // Random numbers are equal in the deterministic profile.
      await Deno.writeFile(path("m.wasm"), await nondeterministicModule("random"));
      await run(first, "exec", "--deterministic", "--bundle", path("r.plasm"), path("m.wasm"));
      const verify = ["verify", path("r.plasm"), "--rerun", "--receipt", path("again.json")];
      assertMatch((await run(second, ...verify)).stdout, /^rerun +reproduced$/m);
      const exported = await run(first, "receipt", "export", path("r.plasm"), path("again.json"));
      const { signers } = await verifyEnvelope(JSON.parse(exported.stdout));
      assertEquals(signers.length, 2);
    },
  });
}
