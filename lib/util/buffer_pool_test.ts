import { assert, assertEquals } from "@std/assert";
import { BufferPool, ReadBuffer } from "./buffer_pool.ts";

/** Returns `size` bytes per read, each read with the next value. */
function source(size = 4): (into: Uint8Array) => Promise<number> {
  let value = 0;
  return (into) => {
    into.fill(++value, 0, size);
    return Promise.resolve(size);
  };
}

Deno.test("BufferPool.read() reuses a buffer when none of its views is retained", async () => {
  const pool = new BufferPool();
  const read = source();
  const first = (await pool.read(read))!;
  assertEquals([...first], [1, 1, 1, 1]);
  const second = (await pool.read(read))!;
  assertEquals(second.buffer, first.buffer);
  const held = pool.retain(second);
  const third = (await pool.read(read))!;
  assert(third.buffer !== held.buffer);
  pool.release(held);
  assertEquals([...held], [2, 2, 2, 2]);
  assertEquals((await pool.read(read))!.buffer, held.buffer);
});

Deno.test("BufferPool.read() does not reuse a buffer when a view of it is retained", async () => {
  const pool = new BufferPool();
  const read = source();
  const bytes = (await pool.read(read))!;
  const [one, two] = [pool.retain(bytes.subarray(0, 2)), pool.retain(bytes.subarray(2))];
  pool.release(one);
  await pool.read(read);
  assertEquals([...two], [1, 1]);
});

Deno.test("BufferPool.retain() returns a copy when every buffer has retained views", async () => {
  const pool = new BufferPool();
  const read = source();
  const held: Uint8Array[] = [];
  for (let n = 0; n < 100; n++) held.push(pool.retain((await pool.read(read))!));
  assertEquals(held.map(([value]) => value), held.map((_, n) => n + 1));
  const whole = held.filter(({ buffer }) => buffer.byteLength > 100_000);
  assert(whole.length < 10, `${whole.length} large buffers are retained`);
});

Deno.test("BufferPool.copy() returns bytes that later reads do not change", async () => {
  const pool = new BufferPool();
  const read = source();
  const kept = pool.copy((await pool.read(read))!);
  await pool.read(read);
  assertEquals([...kept], [1, 1, 1, 1]);
  const own = Uint8Array.of(1, 2);
  assertEquals(pool.copy(own) === own, true);
});

Deno.test("BufferPool.discard() prevents the reuse of retained memory, released or not", async () => {
  for (const count of [1, 2]) {
    const pool = new BufferPool();
    const read = source();
    const views: Uint8Array[] = [];
    for (let n = 0; n < count; n++) views.push(pool.retain((await pool.read(read))!));
    // A cancelled write may still read from a released view.
    pool.release(views[0]!);
    pool.discard();
    for (let n = 0; n < 5; n++) await pool.read(read);
    for (const view of views.slice(1)) pool.release(view);
    for (let n = 0; n < 5; n++) await pool.read(read);
    assertEquals(views.map(([value]) => value), [1, 2].slice(0, count));
  }
});

Deno.test("BufferPool.read() returns undefined when the source ends", async () => {
  assertEquals(await new BufferPool().read(() => Promise.resolve(null)), undefined);
});

/** Fills the space with one value, as a socket does. */
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
