import { assertEquals } from "@std/assert";
import vectors from "../../tests/vectors/receipt.json" with { type: "json" };
import { parseReceipt } from "./receipt.ts";
import { findTimeProblem, receiptTimes, WALL_TIME_TOLERANCE_MS } from "./receipt_times.ts";
import type { Receipt } from "./types.gen.ts";

const RECEIPT = parseReceipt(JSON.stringify(vectors.receipt));

function receiptWith(started_at: string, finished_at: string, wall_time_ms: number): Receipt {
  return { ...RECEIPT, started_at, finished_at, usage: { ...RECEIPT.usage, wall_time_ms } };
}

Deno.test("receiptTimes() makes times that agree", () => {
  assertEquals(receiptTimes({ startedAt: 1_700_000_000_000.4, wallTimeMs: 1234.6 }), {
    started_at: "2023-11-14T22:13:20.000Z",
    finished_at: "2023-11-14T22:13:21.235Z",
    wall_time_ms: 1235,
  });
  assertEquals(receiptTimes({ startedAt: 0, wallTimeMs: -1 }).wall_time_ms, 0);
});

Deno.test("findTimeProblem() takes a duration within the tolerance", () => {
  const start = "2026-01-01T00:00:00.000Z";
  const end = "2026-01-01T00:00:10.000Z";
  const tolerance = WALL_TIME_TOLERANCE_MS;
  for (const difference of [0, tolerance, -tolerance]) {
    assertEquals(findTimeProblem(receiptWith(start, end, 10_000 + difference)), undefined);
  }
  for (const difference of [tolerance + 1, -tolerance - 1]) {
    const problem = findTimeProblem(receiptWith(start, end, 10_000 + difference));
    assertEquals(problem?.field, "usage.wall_time_ms");
  }
  assertEquals(findTimeProblem(receiptWith(start, start, 0)), undefined);
});

Deno.test("findTimeProblem() names a time that cannot be", () => {
  const start = "2026-01-01T00:00:00.000Z";
  const field = (from: string, to: string): string | undefined =>
    findTimeProblem(receiptWith(from, to, 0))?.field;
  assertEquals(field("2026-02-29T00:00:00.000Z", start), "started_at");
  assertEquals(field(start, "2026-04-31T00:00:00.000Z"), "finished_at");
  assertEquals(field(start, "soon"), "finished_at");
  assertEquals(field(start, "2025-12-31T23:59:59.999Z"), "finished_at");
});
