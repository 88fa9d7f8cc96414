import { assertEquals, assertThrows } from "@std/assert";
import { fromHex, toHex } from "./hex.ts";

Deno.test("toHex() and fromHex() are each other's inverse", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, i) => i);
  assertEquals(toHex(bytes).slice(0, 8), "00010203");
  assertEquals(fromHex(toHex(bytes)), bytes);
  assertEquals(fromHex(""), new Uint8Array());
});

Deno.test("fromHex() refuses capitals, odd lengths and anything else", () => {
  for (const text of ["A0", "0", "0g", "00\n", " 00", "0x00"]) {
    assertThrows(() => fromHex(text), SyntaxError);
  }
});
