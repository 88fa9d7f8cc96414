import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { EMPTY_HASH, Hasher, isHash, sha256 } from "./hash.ts";

// FIPS 180-4, examples of SHA-256.
const ABC = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

async function hashInChunks(bytes: Uint8Array, size: number): Promise<string> {
  const hasher = new Hasher();
  for (let offset = 0; offset < bytes.length; offset += size) {
    await hasher.update(bytes.subarray(offset, offset + size));
  }
  assertEquals(hasher.bytes, bytes.length);
  return await hasher.digest();
}

Deno.test("sha256() returns sha256: and lowercase hex", async () => {
  assertEquals(await sha256(new TextEncoder().encode("abc")), ABC);
  assertEquals(await sha256(new Uint8Array()), EMPTY_HASH);
});

Deno.test("isHash() accepts only lowercase hex of the right length", () => {
  assertEquals(isHash(ABC), true);
  for (const value of [ABC.toUpperCase(), ABC.slice(1), `${ABC}0`, `${ABC}\n`, "", null, 7]) {
    assertEquals(isHash(value), false);
  }
});

Deno.test("Hasher returns the same hash for any sizes of content and chunks", async () => {
  for (const length of [0, 1, 3, 256 * 1024, 256 * 1024 + 1, 1_000_003]) {
    const bytes = Uint8Array.from({ length }, (_, i) => i * 7 + (i >> 8));
    const whole = await sha256(bytes);
    for (const size of [65_537, 300_000]) assertEquals(await hashInChunks(bytes, size), whole);
  }
});

Deno.test("Hasher.update() copies a chunk when the caller reuses its buffer", async () => {
  const hasher = new Hasher();
  const buffer = new TextEncoder().encode("abc");
  await hasher.update(buffer);
  buffer.fill(0);
  assertEquals(await hasher.digest(), ABC);
});

Deno.test("Hasher.update() preserves the order when its promise is not awaited", async () => {
  const bytes = Uint8Array.from({ length: 900_000 }, (_, i) => i % 251);
  const hasher = new Hasher();
  for (let i = 0; i < bytes.length; i += 100_000) {
    void hasher.update(bytes.subarray(i, i + 100_000));
  }
  assertEquals(await hasher.digest(), await sha256(bytes));
});

Deno.test("Hasher throws when it is used after digest()", async () => {
  const hasher = new Hasher();
  assertEquals(await hasher.digest(), EMPTY_HASH);
  assertThrows(() => hasher.update(new Uint8Array(1)), TypeError, "finished");
  await assertRejects(() => hasher.digest(), TypeError, "finished");
});
