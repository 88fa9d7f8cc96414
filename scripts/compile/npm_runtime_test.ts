import { assertEquals, assertThrows } from "@std/assert";
import { runtimeLength } from "./npm_runtime.ts";

/** An ELF header with its sections' headers at 64, then so many bytes of payload. */
function program(
  options: { sections?: number; payload?: number; said?: number } = {},
): Uint8Array {
  const { sections = 2, payload = 40 } = options;
  const { said = payload } = options;
  const bytes = new Uint8Array(64 + sections * 64 + payload);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, 0x7f454c46);
  view.setBigUint64(40, 64n, true);
  view.setUint16(58, 64, true);
  view.setUint16(60, sections, true);
  view.setBigUint64(bytes.length - 8, BigInt(said), true);
  return bytes;
}

Deno.test("runtimeLength() ends with the section headers", () => {
  assertEquals(runtimeLength(program()), 64 + 2 * 64);
  assertEquals(runtimeLength(program({ sections: 5, payload: 16 })), 64 + 5 * 64);
});

Deno.test("runtimeLength() refuses what the trailer does not account for", () => {
  assertThrows(() => runtimeLength(program({ said: 39 })), Error, "192 bytes of ELF and 39 of");
  assertThrows(() => runtimeLength(program({ payload: 8 })), Error, "Not a compiled program");
  assertThrows(() => runtimeLength(new Uint8Array(200)), Error, "Not an ELF file");
  assertThrows(() => runtimeLength(new Uint8Array(8)), Error, "Not an ELF file");
});
