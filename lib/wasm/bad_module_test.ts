import { assertEquals } from "@std/assert";
import { badModule, quoteName } from "./bad_module.ts";

Deno.test("badModule() carries code, hint and figures", () => {
  const error = badModule("it is a test", { hint: "Try another", details: { size: 1 } });
  assertEquals(error.toJSON(), {
    code: "bad-module",
    message: "Cannot run module: it is a test",
    hint: "Try another",
    retryable: false,
    details: { size: 1 },
  });
  assertEquals(error.exitCode, 65);
});

Deno.test("quoteName() leaves nothing that could forge a line", () => {
  assertEquals(quoteName("fd_write"), '"fd_write"');
  assertEquals(quoteName(""), '""');
  assertEquals(quoteName("__proto__"), '"__proto__"');
  assertEquals(quoteName('a"b\\c'), '"a\\"b\\\\c"');
  assertEquals(quoteName("a\nb\x1b[31m\u202e\u2028"), '"a\\u{a}b\\u{1b}[31m\\u{202e}\\u{2028}"');
});

Deno.test("quoteName() cuts a long name", () => {
  assertEquals(quoteName("x".repeat(1_000_000)), `"${"x".repeat(60)}…"`);
  assertEquals(quoteName("x".repeat(60)), `"${"x".repeat(60)}"`);
  // The cut falls between the halves of a surrogate pair.
  assertEquals(quoteName("x".repeat(59) + "😀"), `"${"x".repeat(59)}\\u{d83d}…"`);
});
