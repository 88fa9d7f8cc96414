import { assertEquals, assertThrows } from "@std/assert";
import { PlasmError } from "../core/errors/errors.ts";
import { badModule, ByteReader, quoteName } from "./reader.ts";

function reader(...bytes: number[]): ByteReader {
  return new ByteReader(new Uint8Array(bytes), "test part", { start: 0, end: bytes.length });
}

function refused(work: () => unknown, message: string): void {
  assertEquals(
    assertThrows(work, PlasmError).message,
    `Cannot run module: its test part ${message}`,
  );
}

Deno.test("ByteReader.u32() decodes every length", () => {
  assertEquals(reader(0).u32(), 0);
  assertEquals(reader(0x7f).u32(), 127);
  assertEquals(reader(0x80, 0x01).u32(), 128);
  assertEquals(reader(0x80, 0x80, 0x80, 0x80, 0x00).u32(), 0);
  assertEquals(reader(0xff, 0xff, 0xff, 0xff, 0x0f).u32(), 4_294_967_295);
});

Deno.test("ByteReader.u32() throws when the integer is too long, too large or truncated", () => {
  const tooLarge = "has an integer wider than 32 bits at byte 5";
  refused(() => reader(0x80, 0x80, 0x80, 0x80, 0x80, 0).u32(), tooLarge);
  refused(() => reader(0xff, 0xff, 0xff, 0xff, 0x10).u32(), tooLarge);
  refused(() => reader(0x80, 0x80).u32(), "is truncated at byte 2");
  refused(() => reader().u32(), "is truncated at byte 0");
});

Deno.test("ByteReader.u64() decodes every length and throws when the integer is longer", () => {
  const nines = Array<number>(9).fill(0xff);
  assertEquals(reader(0x05).u64(), 5n);
  assertEquals(reader(...nines, 0x01).u64(), 2n ** 64n - 1n);
  refused(() => reader(...nines, 0x02).u64(), "has an integer wider than 64 bits at byte 10");
  refused(() => reader(...nines).u64(), "is truncated at byte 9");
});

Deno.test("ByteReader.skipSigned() skips an integer of the maximum length and throws when it is longer", () => {
  const five = [0x80, 0x80, 0x80, 0x80, 0x00];
  const read = reader(...five, 1);
  read.skipSigned(32);
  assertEquals(read.position, 5);
  refused(
    () => reader(...five.slice(0, 4), 0x80, 0).skipSigned(33),
    "has an integer wider than 33 bits at byte 5",
  );
});

Deno.test("ByteReader.count() throws when the count exceeds the bytes left", () => {
  assertEquals(reader(2, 0, 0).count("items"), 2);
  refused(
    () => reader(0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0).count("items", 2),
    "declares 4294967295 items but has room for 1 at byte 5",
  );
});

Deno.test("ByteReader.name() decodes UTF-8 and throws when it is invalid", () => {
  assertEquals(reader(3, 0x61, 0xc3, 0xa9).name(), "aé");
  assertEquals(reader(0).name(), "");
  assertEquals(reader(3, 0xef, 0xbb, 0xbf).name(), "\ufeff");
  refused(() => reader(1, 0xff).name(), "has a name that is not valid UTF-8 at byte 1");
  refused(() => reader(2, 0x61).name(), "is truncated at byte 1");
  refused(
    () => reader(0xa1, 0x8d, 0x06, 0).name(),
    "has a name of 100001 bytes (limit 100000) at byte 3",
  );
});

Deno.test("ByteReader.finish() throws when bytes are left", () => {
  reader().finish();
  refused(() => reader(1, 2).finish(), "has 2 trailing bytes at byte 0");
});

Deno.test("ByteReader does not read past the end of its span", () => {
  const part = new ByteReader(new Uint8Array(8), "test part", { start: 2, end: 4 });
  part.skip(2);
  refused(() => part.byte(), "is truncated at byte 4");
  refused(() => part.skip(1), "is truncated at byte 4");
});

Deno.test("badModule() sets code, hint and details", () => {
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

Deno.test("quoteName() escapes characters that could forge a line", () => {
  assertEquals(quoteName("fd_write"), '"fd_write"');
  assertEquals(quoteName(""), '""');
  assertEquals(quoteName("__proto__"), '"__proto__"');
  assertEquals(quoteName('a"b\\c'), '"a\\"b\\\\c"');
  assertEquals(quoteName("a\nb\x1b[31m\u202e\u2028"), '"a\\u{a}b\\u{1b}[31m\\u{202e}\\u{2028}"');
});

Deno.test("quoteName() truncates a long name", () => {
  assertEquals(quoteName("x".repeat(1_000_000)), `"${"x".repeat(60)}…"`);
  assertEquals(quoteName("x".repeat(60)), `"${"x".repeat(60)}"`);
  // Truncation splits a surrogate pair.
  assertEquals(quoteName("x".repeat(59) + "😀"), `"${"x".repeat(59)}\\u{d83d}…"`);
});
