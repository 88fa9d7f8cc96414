import { assert, assertEquals } from "@std/assert";
import { ReadBuffer } from "./read_buffer.ts";

/** As a socket does: fills the space with one value. */
function fill(buffer: ReadBuffer, count: number, value: number): Uint8Array<ArrayBuffer> {
  return buffer.take(buffer.space.subarray(0, count).fill(value));
}

Deno.test("ReadBuffer.take() returns stable bytes when the buffer is read into again", () => {
  const buffer = new ReadBuffer();
  const taken = [1, 8192, 3, 16_384, 9000, 0].map((count, n) =>
    fill(buffer, Math.min(count, buffer.space.length), n)
  );
  for (const [n, bytes] of taken.entries()) assert(bytes.every((byte) => byte === n));
});

Deno.test("ReadBuffer.take() grows the space when reads fill it and shrinks it when they do not", () => {
  const buffer = new ReadBuffer();
  const least = buffer.space.length;
  for (let n = 0; n < 10; n++) fill(buffer, buffer.space.length, n);
  assertEquals(buffer.space.length, 256 * 1024);
  for (let n = 0; n < 10; n++) assertEquals(fill(buffer, 100, n).buffer.byteLength, 100);
  assertEquals(buffer.space.length, least);
});
