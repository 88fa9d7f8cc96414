/**
 * A client of each architecture with a node of the other, over the real protocol.
 */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { binaryFile, LINUX_TARGETS } from "../../scripts/compile/targets.ts";
import { crossArchRun } from "../../scripts/cross_arch_demo.ts";

const reason = await whyNot();
if (reason !== undefined) console.warn(`SKIPPED: runs between architectures: ${reason}`);

async function whyNot(): Promise<string | undefined> {
  for (const target of LINUX_TARGETS) {
    try {
      const { success } = await new Deno.Command(binaryFile(target), { args: ["version"] })
        .output();
      if (!success) return `the binary of ${target.triple} does not start`;
    } catch (error) {
      return `the binary of ${target.triple} cannot be started: ${error}`;
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
      assertEquals(
        [run.client, run.node, run.stdout],
        [client!.triple.split("-")[0], node!.triple.split("-")[0], "dlroW ,olleH"],
      );
      assertMatch(run.verified, /^receipt verified\n/);
      assert(run.discoveryMs > 0 && run.executionMs > 0);
    },
  });
}
