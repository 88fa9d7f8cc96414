import { assertEquals } from "@std/assert";
import { Histogram } from "./histogram.ts";

Deno.test("Histogram.lines() counts each value in its bucket and all larger ones", () => {
  const histogram = new Histogram();
  for (const seconds of [0.005, 0.006, 2, 3601]) histogram.add(seconds);
  const lines = histogram.lines("job_seconds");
  const count = (bound: string) =>
    lines.find((line) => line.startsWith(`job_seconds_bucket{le="${bound}"}`))?.split(" ")[1];
  assertEquals(
    { first: count("0.005"), second: count("0.01"), before: count("1"), after: count("2.5") },
    { first: "1", second: "2", before: "2", after: "3" },
  );
  assertEquals({ hour: count("3600"), all: count("+Inf") }, { hour: "3", all: "4" });
  assertEquals(lines.slice(-2), ["job_seconds_sum 3603.011", "job_seconds_count 4"]);
});
