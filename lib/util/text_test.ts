import { assertEquals } from "@std/assert";
import { escapeUnsafe, nearest, printable } from "./text.ts";

Deno.test("printable() escapes and truncates when text has control characters or is long", () => {
  assertEquals(printable("unreachable at ä"), "unreachable at ä");
  assertEquals(printable("a\n\x1b[2J\u202e"), "a\\u000a\\u001b[2J\\u202e");
  assertEquals(printable("x".repeat(1000)), `${"x".repeat(500)}…`);
  assertEquals(printable("\ud800"), "\ufffd");
});

Deno.test("escapeUnsafe() escapes direction marks when other text stays unchanged", () => {
  assertEquals(escapeUnsafe("Grüße, 世界 ✓"), "Grüße, 世界 ✓");
  assertEquals(escapeUnsafe("\u001b\u202e\u200b\u2066"), "\\u001b\\u202e\\u200b\\u2066");
});

const KNOWN = ["memory_mb", "timeout_seconds", "cpu_cores", "args", "env"];

Deno.test("nearest() returns the known name when the given one is misspelt", () => {
  assertEquals(nearest("memroy_mb", KNOWN), "memory_mb");
  assertEquals(nearest("memoryMB", KNOWN), "memory_mb");
  assertEquals(nearest("timeout-second", KNOWN), "timeout_seconds");
  assertEquals(nearest("arg", KNOWN), "args");
  assertEquals(nearest("evn", KNOWN), "env");
});

Deno.test("nearest() returns undefined when no known name is close", () => {
  assertEquals(nearest("colour", KNOWN), undefined);
  assertEquals(nearest("", KNOWN), undefined);
  assertEquals(nearest("args", []), undefined);
  assertEquals(nearest("memory_mb".repeat(100), KNOWN), undefined);
});
