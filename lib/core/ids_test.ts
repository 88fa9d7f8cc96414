import { assertEquals, assertMatch } from "@std/assert";
import { createJobId, createNonce, isJobId } from "./ids.ts";

Deno.test("createJobId() makes ids that isJobId() knows and that differ", () => {
  const ids = Array.from({ length: 1000 }, () => createJobId());
  assertEquals(ids.every(isJobId), true);
  assertEquals(new Set(ids).size, 1000);
  // Every digit of the alphabet turns up among 26,000.
  assertEquals(new Set(ids.join("").replaceAll("job_", "")).size, 32);
});

Deno.test("isJobId() refuses other forms", () => {
  const id = createJobId();
  for (const value of [id.slice(1), `${id}a`, id.toUpperCase(), `${id}\n`, `../${id}`, 7, null]) {
    assertEquals(isJobId(value), false);
  }
});

Deno.test("createNonce() makes 32 bytes of hex, new each time", () => {
  assertMatch(createNonce(), /^[0-9a-f]{64}$/);
  assertEquals(new Set(Array.from({ length: 100 }, () => createNonce())).size, 100);
});
