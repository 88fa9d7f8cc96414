import { assertEquals } from "@std/assert";
import { escapeUnsafe, printable } from "./text.ts";

Deno.test("printable() leaves nothing that acts on a terminal, and bounds the length", () => {
  assertEquals(printable("unreachable at ä"), "unreachable at ä");
  assertEquals(printable("a\n\x1b[2J\u202e"), "a\\u000a\\u001b[2J\\u202e");
  assertEquals(printable("x".repeat(1000)), `${"x".repeat(500)}…`);
  assertEquals(printable("\ud800"), "\ufffd");
});

Deno.test("escapeUnsafe() leaves other text alone and hides no direction mark", () => {
  assertEquals(escapeUnsafe("Grüße, 世界 ✓"), "Grüße, 世界 ✓");
  assertEquals(escapeUnsafe("\u001b\u202e\u200b\u2066"), "\\u001b\\u202e\\u200b\\u2066");
});
