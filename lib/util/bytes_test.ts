import { assertEquals } from "@std/assert";
import { joinBytes } from "./bytes.ts";

Deno.test("joinBytes() gives the pieces in order, and never one of them itself", () => {
  assertEquals(joinBytes([]), new Uint8Array());
  const one = Uint8Array.of(1, 2);
  assertEquals(joinBytes([one, new Uint8Array(), Uint8Array.of(3)]), Uint8Array.of(1, 2, 3));
  joinBytes([one])[0] = 9;
  assertEquals(one, Uint8Array.of(1, 2));
});
