import { assertEquals, assertRejects } from "@std/assert";
import { didYouMean, escapeJson, escapeText, lines } from "./text.ts";

Deno.test("escapeText() escapes and truncates when text has control characters or is long", () => {
  assertEquals(escapeText("unreachable at ä"), "unreachable at ä");
  assertEquals(escapeText("a\n\x1b[2J\u202e"), "a\\u000a\\u001b[2J\\u202e");
  assertEquals(escapeText("x".repeat(1000)), `${"x".repeat(500)}…`);
  assertEquals(escapeText("\ud800"), "\ufffd");
});

Deno.test("escapeJson() escapes direction marks when other text stays unchanged", () => {
  assertEquals(escapeJson("Grüße, 世界 ✓"), "Grüße, 世界 ✓");
  assertEquals(escapeJson("\u001b\u202e\u200b\u2066"), "\\u001b\\u202e\\u200b\\u2066");
});

const KNOWN = ["memory_mb", "timeout_seconds", "cpu_cores", "args", "env"];

Deno.test("didYouMean() returns the known name when the given one is misspelt", () => {
  assertEquals(didYouMean("memroy_mb", KNOWN), "memory_mb");
  assertEquals(didYouMean("memoryMB", KNOWN), "memory_mb");
  assertEquals(didYouMean("timeout-second", KNOWN), "timeout_seconds");
  assertEquals(didYouMean("arg", KNOWN), "args");
  assertEquals(didYouMean("evn", KNOWN), "env");
});

Deno.test("didYouMean() returns undefined when no known name is close", () => {
  assertEquals(didYouMean("colour", KNOWN), undefined);
  assertEquals(didYouMean("", KNOWN), undefined);
  assertEquals(didYouMean("args", []), undefined);
  assertEquals(didYouMean("memory_mb".repeat(100), KNOWN), undefined);
});

/** Body whose chunks end in the middle of lines and characters. */
function bodyOf(chunks: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return ReadableStream.from(chunks);
}

Deno.test("lines() yields whole lines when chunks split lines and characters", async () => {
  const bytes = new TextEncoder().encode("erste\n\nzweite Zeile: ä\nthird");
  const chunks = [...bytes].map((byte) => Uint8Array.of(byte));
  const limits = { maxLength: 100, tooLong: () => new RangeError("too long") };
  assertEquals(await Array.fromAsync(lines(bodyOf(chunks), limits)), ["erste", "zweite Zeile: ä"]);
  assertEquals(await Array.fromAsync(lines(null, limits)), []);
});

Deno.test("lines() throws what tooLong creates when a line exceeds the limit", async () => {
  const body = bodyOf([new TextEncoder().encode("short\n" + "x".repeat(101))]);
  const limits = { maxLength: 100, tooLong: () => new RangeError("too long") };
  await assertRejects(() => Array.fromAsync(lines(body, limits)), RangeError, "too long");
});
