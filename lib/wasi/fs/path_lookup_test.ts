import { assertEquals } from "@std/assert";
import { utf8Length } from "./path_lookup.ts";

Deno.test("utf8Length() matches TextEncoder", () => {
  for (const text of ["", "a", "\x7f\x80", "\u07ff\u0800", "\uffff", "😀a😀", "日本語"]) {
    assertEquals(utf8Length(text), new TextEncoder().encode(text).length, text);
  }
});
