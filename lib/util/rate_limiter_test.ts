import { assert, assertEquals, assertFalse } from "@std/assert";
import { RateLimiter } from "./rate_limiter.ts";

Deno.test("RateLimiter.take() allows the configured rate when the burst is used up", () => {
  let now = 0;
  const limiter = new RateLimiter({ burst: 2, perSecond: 10, now: () => now });
  assert(limiter.take("a"));
  assert(limiter.take("a"));
  assertFalse(limiter.take("a"));
  assert(limiter.take("b"));
  now = 100;
  assert(limiter.take("a"));
  assertFalse(limiter.take("a"));
  now = 100_000;
  assert(limiter.take("a"));
  assert(limiter.take("a"));
  assertFalse(limiter.take("a"));
});

Deno.test("RateLimiter.take() evicts the oldest peer when maxPeers is exceeded", () => {
  const limiter = new RateLimiter({ burst: 1, perSecond: 1, maxPeers: 2, now: () => 0 });
  for (const peer of ["a", "b", "c"]) limiter.take(peer);
  assertEquals(limiter.size, 2);
  assertFalse(limiter.take("c"));
  assertFalse(limiter.take("b"));
});
