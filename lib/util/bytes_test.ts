import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { concat, fromBase64, fromHex, toBase64, writeAll } from "./bytes.ts";

Deno.test("concat() returns a new array when it gets one part or several", () => {
  assertEquals(concat([]), new Uint8Array());
  const one = Uint8Array.of(1, 2);
  assertEquals(concat([one, new Uint8Array(), Uint8Array.of(3)]), Uint8Array.of(1, 2, 3));
  concat([one])[0] = 9;
  assertEquals(one, Uint8Array.of(1, 2));
});

Deno.test("fromHex() reverses .toHex() when the text is unchanged", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assertEquals(bytes.toHex().slice(0, 8), "00010203");
  assertEquals(fromHex(bytes.toHex()), bytes);
  assertEquals(fromHex(""), new Uint8Array());
});

Deno.test("fromHex() throws when the text has capitals, an odd length or other characters", () => {
  for (const text of ["A0", "0", "0g", "00\n", " 00", "0x00"]) {
    assertThrows(() => fromHex(text), SyntaxError);
  }
});

Deno.test("fromBase64() reverses toBase64() for any bytes", () => {
  for (const length of [...Array(260).keys(), 8191, 8192, 8193, 20_000]) {
    const bytes = Uint8Array.from({ length }, (_, i) => 255 - i);
    assertEquals(toBase64(bytes), bytes.toBase64());
    assertEquals(fromBase64(toBase64(bytes)), bytes);
  }
});

Deno.test("fromBase64() throws for every text but the canonical one", () => {
  assertEquals(fromBase64("+/8="), Uint8Array.of(251, 255));
  for (
    const text of [
      "+/8",
      "+/9=",
      "-_8=",
      "+/8= ",
      "+/ 8=",
      "+/8=\n",
      "+/8==",
      "=",
      "====",
      "+===",
      "+/8=AAAA",
    ]
  ) {
    assertThrows(() => fromBase64(text), SyntaxError, "", text);
  }
});

Deno.test("writeAll() writes every byte when the writer accepts parts", async () => {
  const written: number[] = [];
  const writer = {
    write(bytes: Uint8Array): Promise<number> {
      written.push(...bytes.subarray(0, 3));
      return Promise.resolve(Math.min(3, bytes.length));
    },
  };
  await writeAll(writer, Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8));
  await writeAll(writer, new Uint8Array());
  assertEquals(written, [1, 2, 3, 4, 5, 6, 7, 8]);
});

Deno.test("writeAll() rejects when the writer fails", async () => {
  const writer = { write: () => Promise.reject(new Deno.errors.BrokenPipe("closed")) };
  await assertRejects(() => writeAll(writer, Uint8Array.of(1)), Deno.errors.BrokenPipe);
});
