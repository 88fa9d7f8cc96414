import { assertEquals } from "@std/assert";
import { AuditLedger } from "../../quorum/mod.ts";
import { Reputation } from "../../p2p/state/peer_state.ts";
import { nodeRecords } from "./node_records.ts";

Deno.test("nodeRecords() combines outcomes of jobs and audits when both know a node, banned nodes first", () => {
  const now = Date.UTC(2026, 0, 1);
  const reputation = new Reputation();
  const ledger = new AuditLedger();
  for (const ok of [true, true, false]) reputation.recordJob("often", { ok }, now);
  reputation.recordJob("often", { ok: false, refusedForMs: 60_000 }, now);
  reputation.recordLatency("often", 20);
  reputation.recordJob("false", { ok: true }, now);
  reputation.recordLatency("only-asked", 5);
  ledger.recordGood("often");
  ledger.recordFalse("false", now);
  const network = { records: () => reputation.all() };
  const unknown = { succeeded: 0, failed: 0, refused: 0, avoided_until: null, latency_ms: null };
  assertEquals(nodeRecords({ network, ledger, now }), [
    {
      ...unknown,
      peer_id: "false",
      succeeded: 1,
      reproduced: 0,
      false: 1,
      banned_until: "2026-01-02T00:00:00.000Z",
    },
    {
      peer_id: "often",
      succeeded: 2,
      failed: 1,
      refused: 1,
      avoided_until: "2026-01-01T00:01:00.000Z",
      latency_ms: 20,
      reproduced: 1,
      false: 0,
      banned_until: null,
    },
  ]);
  // A year later neither is banned or avoided.
  const later = nodeRecords({ network, ledger, now: Date.UTC(2027, 0, 1) });
  assertEquals(
    later.map(({ peer_id, avoided_until, banned_until }) => [
      peer_id,
      avoided_until,
      banned_until,
    ]),
    [["often", null, null], ["false", null, null]],
  );
});
