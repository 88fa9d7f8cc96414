import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { FIRST_BYTES } from "./framing.ts";
import { InputPrefetcher } from "./prefetch.ts";

/** Returns 10 bytes per read, with increasing values, then null; `ended` resolves with the null. */
function counting(
  reads: number,
): { read: (into: Uint8Array) => Promise<number | null>; ended: Promise<void> } {
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  let next = 0;
  const read = (into: Uint8Array): Promise<number | null> => {
    if (next === reads * 10) {
      resolve();
      return Promise.resolve(null);
    }
    for (let n = 0; n < 10; n++) into[n] = next++;
    return Promise.resolve(10);
  };
  return { read, ended };
}

Deno.test("InputPrefetcher.take() joins bytes when several reads finish before it", async () => {
  const source = counting(12);
  const ahead = new InputPrefetcher(source);
  await source.ended;
  assertEquals([...await ahead.take() ?? []], Array.from({ length: 120 }, (_, n) => n));
  assertEquals(await ahead.take(), undefined);
});

Deno.test("InputPrefetcher.take() resumes reading when both buffers were full", async () => {
  let bytes = 0;
  const size = 40_000;
  let value = 0;
  const ahead = new InputPrefetcher({
    read: (into) => {
      const count = Math.min(size, into.length);
      into.fill(++value, 0, count);
      bytes += count;
      return Promise.resolve(count);
    },
  });
  const settle = async (): Promise<void> => {
    for (let n = 0; n < 1000; n++) await undefined;
  };
  await settle();
  const held = bytes;
  assert(held <= 2 * FIRST_BYTES, `${held}`);
  const first = await ahead.take();
  await settle();
  assertEquals(bytes, held);
  // The part stays unchanged until the next call and has headroom for a header.
  assertEquals({ first: first?.[0], last: first?.at(-1) }, {
    first: 1,
    last: Math.ceil(first!.length / size),
  });
  assert(first!.byteOffset >= 5);
  let taken = first!.length;
  for (let n = 0; n < 20; n++) taken += (await ahead.take())!.length;
  await settle();
  assert(taken > held);
  assert(bytes - taken <= 2 * FIRST_BYTES);
});

Deno.test("InputPrefetcher.take() returns earlier bytes first when the source throws", async () => {
  const fault = new Error("the disk is broken");
  const { read } = counting(1);
  const ahead = new InputPrefetcher({
    read: async (into) => await read(into) ?? await Promise.reject(fault),
  });
  assertEquals((await ahead.take())?.length, 10);
  assertStrictEquals(await assertRejects(() => ahead.take()), fault);
});

Deno.test("InputPrefetcher.take() throws when the source returns an impossible count", async () => {
  for (const count of [-1, NaN, Infinity, FIRST_BYTES + 1]) {
    const ahead = new InputPrefetcher({ read: () => Promise.resolve(count) });
    await assertRejects(
      () => ahead.take(),
      RangeError,
      `${count} bytes were read into ${FIRST_BYTES}`,
    );
  }
});
