import { assert, assertAlmostEquals, assertEquals, assertFalse, assertRejects } from "@std/assert";
import { ephemeralIdentity } from "../../core/identity.ts";
import { Reputation, REPUTATION_FILE } from "./peer_state.ts";

Deno.test("Reputation counts jobs apart from documents, and halves old counts", () => {
  const reputation = new Reputation();
  assertEquals(reputation.get("a"), {
    succeeded: 0,
    failed: 0,
    refused: 0,
    failedInRow: 0,
    avoidUntil: 0,
    latencyMs: null,
  });
  reputation.recordLatency("a", 100);
  reputation.recordLatency("a", 200);
  assert(reputation.isNew("a"));
  assertAlmostEquals(reputation.get("a").latencyMs!, 130);
  reputation.recordJob("a", { ok: true });
  reputation.recordJob("a", { ok: false });
  assertFalse(reputation.isNew("a"));
  const { succeeded, failed, latencyMs } = reputation.get("a");
  assertEquals({ succeeded, failed }, { succeeded: 1, failed: 1 });
  assertAlmostEquals(latencyMs!, 130);
  for (let i = 0; i < 64; i++) reputation.recordJob("b", { ok: false });
  reputation.recordJob("b", { ok: true });
  const old = reputation.get("b");
  assertEquals({ succeeded: old.succeeded, failed: old.failed }, { succeeded: 1, failed: 32 });
});

Deno.test("Reputation.isAvoided() lasts longer after each failure in a row, up to a day", () => {
  const reputation = new Reputation();
  const minute = 60_000;
  let now = 1_000_000;
  for (const minutes of [1, 4, 16, 64, 256, 1024, 1440, 1440]) {
    reputation.recordJob("a", { ok: false }, now);
    assert(reputation.isAvoided("a", now + minutes * minute - 1), `${minutes}`);
    assertFalse(reputation.isAvoided("a", now + minutes * minute), `${minutes}`);
    now += minute;
  }
  reputation.recordJob("a", { ok: true }, now);
  assertFalse(reputation.isAvoided("a", now));
  reputation.recordJob("a", { ok: false }, now);
  assertFalse(reputation.isAvoided("a", now + minute));
});

Deno.test("Reputation.recordJob() prefers other nodes to one that refused a job, for a short time", () => {
  const reputation = new Reputation();
  const now = 1_000_000;
  reputation.recordJob("a", { ok: false, refusedForMs: 500 }, now);
  const { failed, refused, failedInRow } = reputation.get("a");
  assertEquals({ failed, refused, failedInRow }, { failed: 0, refused: 1, failedInRow: 0 });
  assert(reputation.isAvoided("a", now + 499));
  assertFalse(reputation.isAvoided("a", now + 500));
  assertFalse(reputation.isNew("a"));
  // A node states the time itself.
  reputation.recordJob("a", { ok: false, refusedForMs: 1e12 }, now);
  assertFalse(reputation.isAvoided("a", now + 60_000));
  // A refusal does not end the time after a failure.
  reputation.recordJob("b", { ok: false }, now);
  reputation.recordJob("b", { ok: false, refusedForMs: 0 }, now);
  assert(reputation.isAvoided("b", now + 59_999));
});

Deno.test("Reputation.save() leaves the outcomes that another process has saved", async () => {
  const stateDir = await Deno.makeTempDir();
  try {
    const [one, other, both] = await Promise.all([1, 2, 3].map(() => ephemeralIdentity()));
    const [first, second] = [new Reputation(), new Reputation()];
    first.recordJob(one!.peerId, { ok: false });
    first.recordJob(both!.peerId, { ok: true });
    second.recordJob(other!.peerId, { ok: false });
    second.recordJob(both!.peerId, { ok: false });
    await first.save(stateDir);
    await second.save(stateDir);
    const read = new Reputation();
    await read.load(stateDir);
    for (const { peerId } of [one!, other!, both!]) assert(read.isAvoided(peerId));
    assertEquals(second.get(one!.peerId), first.get(one!.peerId));
  } finally {
    await Deno.remove(stateDir, { recursive: true });
  }
});

Deno.test("Reputation.load() restores what save() wrote and skips invalid entries", async () => {
  const stateDir = await Deno.makeTempDir();
  try {
    const { peerId } = await ephemeralIdentity();
    const written = new Reputation();
    written.recordJob(peerId, { ok: false });
    written.recordLatency(peerId, 12);
    await written.save(stateDir);
    const read = new Reputation();
    await read.load(stateDir);
    assertEquals(read.get(peerId), written.get(peerId));
    assert(read.isAvoided(peerId));

    const path = `${stateDir}/${REPUTATION_FILE}`;
    const valid = {
      succeeded: 1,
      failed: 0,
      refused: 0,
      failed_in_row: 0,
      avoid_until: 0,
      latency_ms: null,
    };
    const peers = [
      { ...valid, id: peerId, succeeded: -1 },
      { ...valid, id: "nobody" },
      { ...valid, id: peerId, succeeded: "many" },
      { ...valid, id: peerId, avoid_until: "never" },
      { ...valid, id: peerId, failed_in_row: undefined },
      null,
    ];
    await Deno.writeTextFile(path, JSON.stringify({ version: 1, peers }));
    const empty = new Reputation();
    await empty.load(stateDir);
    assert(empty.isNew(peerId));
    const future = { ...valid, id: peerId, avoid_until: 1e15 };
    await Deno.writeTextFile(path, JSON.stringify({ version: 1, peers: [future] }));
    await empty.load(stateDir);
    assertFalse(empty.isAvoided(peerId, Date.now() + 25 * 3600 * 1000));
    await Deno.writeTextFile(path, "[]");
    await assertRejects(() => empty.load(stateDir), TypeError, "not a reputation file");
  } finally {
    await Deno.remove(stateDir, { recursive: true });
  }
});
