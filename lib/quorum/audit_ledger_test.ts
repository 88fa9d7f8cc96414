import { assert, assertEquals } from "@std/assert";
import { tempDir } from "../../tests/fixtures/temp_dir.ts";
import { AuditLedger } from "./audit_ledger.ts";

const DAY = 24 * 60 * 60 * 1000;

Deno.test("AuditLedger audits a node with probability 1/n after n good results, and at least the base", () => {
  const ledger = new AuditLedger();
  assertEquals(ledger.probability("a", 0.02), 1);
  const seen: number[] = [];
  for (let good = 1; good <= 100; good++) {
    ledger.recordGood("a");
    seen.push(ledger.probability("a", 0.02));
  }
  assertEquals([seen[0], seen[1], seen[9], seen[49], seen[99]], [1, 0.5, 0.1, 0.02, 0.02]);
  assertEquals(ledger.probability("a", 0), 0);
});

Deno.test("AuditLedger bans a node for longer after each false result, and trusts it no more", () => {
  const ledger = new AuditLedger();
  for (let good = 0; good < 50; good++) ledger.recordGood("a");
  assertEquals(ledger.recordFalse("a", 0), DAY);
  assertEquals(ledger.probability("a", 0.02), 1);
  assert(ledger.isBanned("a", DAY - 1) && !ledger.isBanned("a", DAY));
  assertEquals(ledger.recordFalse("a", 0), 4 * DAY);
  assertEquals(ledger.recordFalse("a", 0), 16 * DAY);
  for (let n = 0; n < 20; n++) ledger.recordFalse("a", 0);
  assertEquals(ledger.recordFalse("a", 0), 90 * DAY);
});

Deno.test("AuditLedger.load() restores what save() wrote, and skips invalid entries", async () => {
  await using dir = await tempDir();
  const ledger = new AuditLedger();
  ledger.recordGood("a");
  const until = ledger.recordFalse("b");
  await ledger.save(dir.path);
  const restored = new AuditLedger();
  await restored.load(dir.path);
  assertEquals(restored.get("a"), ledger.get("a"));
  assertEquals(restored.banned(until - 1).map(({ peerId }) => peerId), ["b"]);

  const nodes = [{ peer_id: "c", good: -1, false: 0, banned_until: 0 }, null, { peer_id: 7 }];
  await Deno.writeTextFile(`${dir.path}/audit.json`, JSON.stringify({ version: 1, nodes }));
  const damaged = new AuditLedger();
  await damaged.load(dir.path);
  assertEquals(damaged.get("c").good, 0);
});
