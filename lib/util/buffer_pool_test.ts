import { assert, assertEquals } from "@std/assert";
import { BufferPool } from "./buffer_pool.ts";

/** Reads that give so many bytes, of a value that grows. */
function source(size = 4): (into: Uint8Array) => Promise<number> {
  let value = 0;
  return (into) => {
    into.fill(++value, 0, size);
    return Promise.resolve(size);
  };
}

Deno.test("BufferPool.read() reuses a buffer when none of its views is lent", async () => {
  const lent = new BufferPool();
  const read = source();
  const first = (await lent.read(read))!;
  assertEquals([...first], [1, 1, 1, 1]);
  const second = (await lent.read(read))!;
  assertEquals(second.buffer, first.buffer);
  const held = lent.hold(second);
  const third = (await lent.read(read))!;
  assert(third.buffer !== held.buffer);
  lent.giveBack(held);
  assertEquals([...held], [2, 2, 2, 2]);
  assertEquals((await lent.read(read))!.buffer, held.buffer);
});

Deno.test("BufferPool.read() does not reuse a buffer when a view of it is lent", async () => {
  const lent = new BufferPool();
  const read = source();
  const bytes = (await lent.read(read))!;
  const [one, two] = [lent.hold(bytes.subarray(0, 2)), lent.hold(bytes.subarray(2))];
  lent.giveBack(one);
  await lent.read(read);
  assertEquals([...two], [1, 1]);
});

Deno.test("BufferPool.hold() returns a copy when every buffer has lent views", async () => {
  const lent = new BufferPool();
  const read = source();
  const held: Uint8Array[] = [];
  for (let n = 0; n < 100; n++) held.push(lent.hold((await lent.read(read))!));
  assertEquals(held.map(([value]) => value), held.map((_, n) => n + 1));
  const whole = held.filter(({ buffer, byteLength }) => buffer.byteLength > byteLength);
  assert(whole.length < 10, `${whole.length} large buffers are held`);
});

Deno.test("BufferPool.copy() returns bytes that later reads do not change", async () => {
  const lent = new BufferPool();
  const read = source();
  const kept = lent.copy((await lent.read(read))!);
  await lent.read(read);
  assertEquals([...kept], [1, 1, 1, 1]);
  const own = Uint8Array.of(1, 2);
  assertEquals(lent.copy(own) === own, true);
});

Deno.test("BufferPool.forget() never uses again what was lent, given back or not", async () => {
  for (const count of [1, 2]) {
    const lent = new BufferPool();
    const read = source();
    const views: Uint8Array[] = [];
    for (let n = 0; n < count; n++) views.push(lent.hold((await lent.read(read))!));
    // Who gives it back may have given up a write of it, which goes on.
    lent.giveBack(views[0]!);
    lent.forget();
    for (let n = 0; n < 5; n++) await lent.read(read);
    for (const view of views.slice(1)) lent.giveBack(view);
    for (let n = 0; n < 5; n++) await lent.read(read);
    assertEquals(views.map(([value]) => value), [1, 2].slice(0, count));
  }
});

Deno.test("BufferPool.read() returns undefined when the source ends", async () => {
  assertEquals(await new BufferPool().read(() => Promise.resolve(null)), undefined);
});
