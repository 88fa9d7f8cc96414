import { retentionClock } from "./retention.ts";
import { assertEquals } from "@std/assert";

Deno.test("retentionClock() ignores a forward jump when the wall clock is set", () => {
  const day = 86_400_000;
  let [wall, steady] = [100 * day, 5];
  const now = retentionClock({ wall: () => wall, steady: () => steady });
  assertEquals(now(), 100 * day);
  wall += 1000;
  steady += 1000;
  assertEquals(now(), 100 * day + 1000);
  wall += 400 * day;
  assertEquals(now(), 100 * day + 1000);
  steady += day;
  assertEquals(now(), 101 * day + 1000);
  wall = 90 * day;
  assertEquals(now(), 90 * day);
});
