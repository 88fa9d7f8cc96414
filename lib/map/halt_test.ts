import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/mod.ts";
import { DEFAULT_HALT, parseHalt } from "./halt.ts";

Deno.test("parseHalt() counts failures, or their share from three on", () => {
  const three = parseHalt("soon,fail=3");
  assertEquals(three.isReached({ done: 9, failed: 2 }), false);
  assertEquals(three.isReached({ done: 9, failed: 3 }), true);
  const share = parseHalt("now,fail=10%");
  assertEquals([three.isNow, share.isNow], [false, true]);
  assertEquals(share.isReached({ done: 2, failed: 2 }), false);
  assertEquals(share.isReached({ done: 31, failed: 3 }), false);
  assertEquals(share.isReached({ done: 30, failed: 3 }), true);
  assertEquals(parseHalt("never").isReached({ done: 1e6, failed: 1e6 }), false);
});

Deno.test("parseHalt() counts successes, or all items that ended", () => {
  const success = parseHalt("now,success=1");
  assertEquals(success.isReached({ done: 5, failed: 5 }), false);
  assertEquals(success.isReached({ done: 6, failed: 5 }), true);
  assertEquals(success.reason({ done: 6, failed: 5 }), "1 item succeeded, --halt allows up to 1");
  assertEquals(parseHalt("soon,done=4").isReached({ done: 4, failed: 1 }), true);
});

Deno.test("parseHalt() refuses other rules", () => {
  for (
    const text of [
      "",
      "soon",
      "soon,fail=0",
      "later,fail=1",
      "now,fail=101%",
      "now,fail=1.5",
      "now,done=5%",
      "2",
    ]
  ) {
    assertThrows(() => parseHalt(text), PlasmError, "not a rule");
  }
});

Deno.test("DEFAULT_HALT stops when the first 20 items fail, and never after a success", () => {
  assertEquals(DEFAULT_HALT.isReached({ done: 19, failed: 19 }), false);
  assertEquals(DEFAULT_HALT.isReached({ done: 20, failed: 20 }), true);
  assertEquals(DEFAULT_HALT.isReached({ done: 10_000, failed: 9_999 }), false);
});
