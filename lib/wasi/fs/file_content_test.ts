import { assertEquals } from "@std/assert";
import { FileContent } from "./file_content.ts";
import { random } from "../../../tests/fixtures/random_source.ts";

const MAX_BYTES = 300_000;

Deno.test("FileContent matches a plain array over random operations", () => {
  const next = random(1);
  for (let round = 0; round < 20; round++) {
    const content = round % 2 === 0
      ? new FileContent()
      : FileContent.from(new Uint8Array(next(150_000)).fill(7));
    const oracle = new Uint8Array(2 * MAX_BYTES).fill(7, 0, content.size);
    let size = content.size;
    for (let step = 0; step < 60; step++) {
      const at = next(MAX_BYTES);
      const length = next(2) === 0 ? next(64) : next(100_000);
      const kind = next(4);
      if (kind === 0) {
        content.resize(at);
        if (at < size) oracle.fill(0, at, size);
        size = at;
      } else if (kind === 1) {
        const target = new Uint8Array(length + 8).fill(1);
        const got = content.read(at, target, 4, length);
        assertEquals(got, Math.max(0, Math.min(length, size - at)));
        assertSame(target.subarray(4, 4 + got), oracle.subarray(at, at + got));
        assertEquals([target[3], target[4 + got]], [1, 1]);
      } else {
        const source = new Uint8Array(length + 3).fill(step + 1);
        content.write(at, source, 3, length);
        oracle.fill(step + 1, at, at + length);
        if (length > 0) size = Math.max(size, at + length);
      }
      assertEquals(content.size, size);
    }
    const all = new Uint8Array(size);
    assertEquals(content.read(0, all, 0, size), size);
    assertSame(all, oracle.subarray(0, size));
  }
});

Deno.test("FileContent.from() uses the memory of its input", () => {
  const data = new Uint8Array([1, 2, 3]);
  const content = FileContent.from(data);
  content.write(0, new Uint8Array([8, 9]), 0, 2);
  assertEquals(data, new Uint8Array([8, 9, 3]));
  content.write(3, new Uint8Array([4]), 0, 1);
  const target = new Uint8Array(4);
  content.read(0, target, 0, 4);
  assertEquals(target, new Uint8Array([8, 9, 3, 4]));
});

Deno.test("FileContent.resize() creates a huge hole that reads as zeros", () => {
  const content = new FileContent();
  content.resize(2 ** 40);
  const target = new Uint8Array(100).fill(1);
  assertEquals(content.read(2 ** 39, target, 0, 100), 100);
  assertEquals(target, new Uint8Array(100));
});

// assertEquals on large arrays is too slow for hundreds of them.
function assertSame(actual: Uint8Array, expected: Uint8Array): void {
  assertEquals(actual.length, expected.length);
  assertEquals(actual.findIndex((byte, i) => byte !== expected[i]), -1);
}
