import { assertEquals } from "@std/assert";
import { PlasmError } from "../../core/errors/mod.ts";
import { RefusalLog } from "./refusal_log.ts";

Deno.test("RefusalLog logs refusals as warnings and no other errors", () => {
  const lines: unknown[] = [];
  const refusals = new RefusalLog({
    log: { warning: (...line) => void lines.push(line) },
  });
  const error = new PlasmError("queue-full", "Cannot accept job");
  refusals.add(error, { path: "/v1/jobs" });
  refusals.add(new PlasmError("not-found", "Cannot find job"), { path: "/v1/jobs/x" });
  refusals.add(new Error("a fault"), { path: "/v1/jobs" });
  assertEquals(lines, [["request-refused", { path: "/v1/jobs", error, suppressed: undefined }]]);
});

Deno.test("RefusalLog limits the lines of a period and counts the suppressed ones", () => {
  const lines: Record<string, unknown>[] = [];
  let now = 0;
  const refusals = new RefusalLog({
    log: { warning: (_event, fields) => void lines.push(fields) },
    now: () => now,
  });
  const error = new PlasmError("unauthorized", "Cannot serve request");
  for (let n = 0; n < 50; n++) refusals.add(error, { n });
  assertEquals(lines.length, 20);
  now = 10_000;
  refusals.add(error, { n: 50 });
  refusals.add(error, { n: 51 });
  assertEquals(lines.slice(20).map(({ suppressed }) => suppressed), [30, undefined]);
});
