import { assert, assertEquals } from "@std/assert";
import { LIBP2P } from "../../tests/fixtures/p2p/nodes.ts";
import { simulate } from "./discovery_simulation.ts";

const NODES = 30;

// Timers of npm packages cannot be replaced there.
const isOld = Deno.version.deno.startsWith("2.7.");
if (isOld) console.log("SKIPPED: the virtual clock needs Deno 2.9");

const OPTIONS = { ...LIBP2P, ignore: isOld };

Deno.test("simulate() finds every node, also while nodes are killed", OPTIONS, async () => {
  const [result] = await Array.fromAsync(
    simulate({ sizes: [NODES], seed: 1, minutes: 1, clients: 1 }),
  );
  const { searches, filtered, churned, replaced } = result!;
  assertEquals(searches.map(({ found }) => found), [NODES]);
  assertEquals(filtered.map(({ found }) => found), [2]);
  assertEquals(replaced, 3);
  for (const { found, dead } of churned) {
    assert(found >= NODES - replaced, `found ${found}`);
    assert(dead <= replaced, `asked ${dead} dead nodes`);
  }
});
