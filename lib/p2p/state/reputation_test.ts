import { assertAlmostEquals, assertEquals, assertRejects } from "@std/assert";
import { ephemeralIdentity } from "../../core/identity.ts";
import { Reputation, REPUTATION_FILE } from "./reputation.ts";

Deno.test("Reputation.note() counts, averages and forgives", () => {
  const reputation = new Reputation();
  assertEquals(reputation.get("a"), { succeeded: 0, failed: 0, latencyMs: null });
  reputation.note("a", { ok: true, latencyMs: 100 });
  reputation.note("a", { ok: false });
  reputation.note("a", { ok: true, latencyMs: 200 });
  const { succeeded, failed, latencyMs } = reputation.get("a");
  assertEquals([succeeded, failed], [2, 1]);
  assertAlmostEquals(latencyMs!, 130);
  for (let i = 0; i < 64; i++) reputation.note("b", { ok: false });
  reputation.note("b", { ok: true });
  assertEquals(reputation.get("b"), { succeeded: 1, failed: 32, latencyMs: null });
});

Deno.test("Reputation.load() reads what save() wrote, and nothing else", async () => {
  const stateDir = await Deno.makeTempDir();
  try {
    const { peerId } = await ephemeralIdentity();
    const written = new Reputation();
    written.note(peerId, { ok: true, latencyMs: 12 });
    await written.save(stateDir);
    const read = new Reputation();
    await read.load(stateDir);
    assertEquals(read.get(peerId), { succeeded: 1, failed: 0, latencyMs: 12 });

    const path = `${stateDir}/${REPUTATION_FILE}`;
    const peers = [
      { id: peerId, succeeded: -1, failed: 0, latency_ms: null },
      { id: "nobody", succeeded: 1, failed: 0, latency_ms: null },
      { id: peerId, succeeded: "many", failed: 0, latency_ms: null },
      null,
    ];
    await Deno.writeTextFile(path, JSON.stringify({ version: 1, peers }));
    const empty = new Reputation();
    await empty.load(stateDir);
    assertEquals(empty.get(peerId), { succeeded: 0, failed: 0, latencyMs: null });
    await Deno.writeTextFile(path, "[]");
    await assertRejects(() => empty.load(stateDir), TypeError, "not a reputation file");
  } finally {
    await Deno.remove(stateDir, { recursive: true });
  }
});
