import { assertEquals, assertThrows } from "@std/assert";
import { runtimeLength } from "./npm_runtime.ts";

/** Creates an ELF header followed by section headers at offset 64 and a payload. */
function program(
  options: { sections?: number; payload?: number; claimed?: number } = {},
): Uint8Array {
  const { sections = 2, payload = 40 } = options;
  const { claimed = payload } = options;
  const bytes = new Uint8Array(64 + sections * 64 + payload);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7f454c46);
  view.setBigUint64(40, 64n, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, sections, true);
  view.setBigUint64(bytes.length - 8, BigInt(claimed), true);
  return bytes;
}

Deno.test("runtimeLength() returns the end of the section headers", () => {
  assertEquals(runtimeLength(program()), 64 + 2 * 64);
  assertEquals(runtimeLength(program({ sections: 5, payload: 16 })), 64 + 5 * 64);
});

Deno.test("runtimeLength() refuses a file whose trailer does not match its length", () => {
  assertThrows(() => runtimeLength(program({ claimed: 39 })), Error, "192 bytes of ELF and 39 of");
  assertThrows(() => runtimeLength(program({ payload: 8 })), Error, "Not a compiled program");
  assertThrows(() => runtimeLength(new Uint8Array(200)), Error, "Not an ELF file");
  assertThrows(() => runtimeLength(new Uint8Array(8)), Error, "Not an ELF file");
});
