import { assertEquals, assertThrows } from "@std/assert";
import { fromHex, joinBytes, toHex } from "./bytes.ts";

Deno.test("joinBytes() returns a new array when it gets one part or several", () => {
  assertEquals(joinBytes([]), new Uint8Array());
  const one = Uint8Array.of(1, 2);
  assertEquals(joinBytes([one, new Uint8Array(), Uint8Array.of(3)]), Uint8Array.of(1, 2, 3));
  joinBytes([one])[0] = 9;
  assertEquals(one, Uint8Array.of(1, 2));
});

Deno.test("fromHex() reverses toHex() when the text is unchanged", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assertEquals(toHex(bytes).slice(0, 8), "00010203");
  assertEquals(fromHex(toHex(bytes)), bytes);
  assertEquals(fromHex(""), new Uint8Array());
});

Deno.test("fromHex() throws when the text has capitals, an odd length or other characters", () => {
  for (const text of ["A0", "0", "0g", "00\n", " 00", "0x00"]) {
    assertThrows(() => fromHex(text), SyntaxError);
  }
});
