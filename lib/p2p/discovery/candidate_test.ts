import { assert, assertEquals, assertFalse, assertGreater } from "@std/assert";
import { FIELDS } from "../../../tests/fixtures/p2p/identities.ts";
import { isMatch, scoreOf, topicFor } from "./candidate.ts";
import type { Capability } from "./capability.ts";

const CAPABILITY = FIELDS as Capability;

Deno.test("topicFor() selects the most selective topic", () => {
  assertEquals(topicFor({ arch: "aarch64", features: ["simd", "gc"] }), "arch:aarch64");
  assertEquals(topicFor({ wasi: "preview1", runtime: "plasm", features: ["gc"] }), "node");
  assertEquals(topicFor({ minMemoryMb: 1 }), "node");
});

Deno.test("isMatch() requires every criterion to be met", () => {
  assert(isMatch(CAPABILITY, {}));
  assert(isMatch(CAPABILITY, {
    arch: "x86_64",
    runtime: "plasm",
    wasi: "preview1",
    features: ["simd"],
    minMemoryMb: 512,
    minTimeoutSeconds: 60,
    minCores: 2,
  }));
  for (
    const criteria of [
      { arch: "aarch64" },
      { runtime: "other" },
      { wasi: "preview2" },
      { features: ["simd", "threads"] },
      { minMemoryMb: 513 },
      { minTimeoutSeconds: 61 },
      { minCores: 3 },
    ]
  ) assertFalse(isMatch(CAPABILITY, criteria), JSON.stringify(criteria));
});

Deno.test("isMatch() excludes a node that accepts no jobs now", () => {
  const availability = { accepting: false, reason: "hours", cores: 0 } as const;
  assertEquals(isMatch({ ...CAPABILITY, availability }, {}), false);
  assertEquals(
    isMatch({ ...CAPABILITY, availability: { ...availability, accepting: true } }, {}),
    true,
  );
});

Deno.test("scoreOf() prefers idle, near, directly connected and reliable nodes", () => {
  const known = { latencyMs: 10, path: "direct", record: record(1, 0) } as const;
  const score = scoreOf(CAPABILITY, known);
  const busy = { ...CAPABILITY, load: { running: 2, queued: 4, slots: 2 } };
  assertGreater(score, scoreOf(busy, known));
  assertGreater(score, scoreOf(CAPABILITY, { ...known, latencyMs: 11 }));
  assertGreater(score, scoreOf(CAPABILITY, { ...known, path: "relayed" }));
  assertGreater(score, scoreOf(CAPABILITY, { ...known, record: record(0, 0) }));
  assertGreater(score, scoreOf(CAPABILITY, { ...known, record: record(1, 1) }));
  assertGreater(score, scoreOf(CAPABILITY, { ...known, record: record(1, 0, 1) }));
  assert(score <= 1);
  const none = { ...CAPABILITY, load: { running: 0, queued: 0, slots: 0 } };
  assertEquals(scoreOf(none, known), 0);
});

Deno.test("scoreOf() discounts what an unproven node claims", () => {
  const claims = { ...CAPABILITY, load: { running: 0, queued: 0, slots: 64 } };
  const half = { ...CAPABILITY, load: { running: 1, queued: 0, slots: 1 } };
  const unknown = { latencyMs: 10, path: "direct", record: record(0, 0) } as const;
  assertEquals(scoreOf(claims, unknown), scoreOf(half, unknown));
  const proven = { ...unknown, record: record(20, 0) };
  assertGreater(scoreOf(half, proven), scoreOf(claims, unknown));
  assertGreater(scoreOf(claims, proven), scoreOf(half, proven));
});

function record(succeeded: number, failed: number, refused = 0) {
  return { succeeded, failed, refused, failedInRow: 0, avoidUntil: 0, latencyMs: null };
}
