import { assertEquals, assertThrows } from "@std/assert";
import { createRing, RingReader, RingWriter } from "./ring.ts";

function pair(capacity: number): { writer: RingWriter; reader: RingReader } {
  const buffers = createRing(capacity);
  return { writer: new RingWriter(buffers), reader: new RingReader(buffers) };
}

Deno.test("createRing() throws when the capacity is not a power of two", () => {
  assertThrows(() => createRing(0), RangeError);
  assertThrows(() => createRing(100), RangeError, "got 100");
});

Deno.test("RingReader.readSome() returns bytes in order when the ring wraps around", () => {
  const { writer, reader } = pair(8);
  const into = new Uint8Array(8);
  assertEquals(writer.writeSome(Uint8Array.of(1, 2, 3, 4, 5, 6)), 6);
  assertEquals(reader.readSome(into.subarray(0, 4)), 4);
  assertEquals(writer.writeSome(Uint8Array.of(7, 8, 9, 10, 11, 12, 13)), 6);
  assertEquals(reader.readSome(into), 8);
  assertEquals([...into], [5, 6, 7, 8, 9, 10, 11, 12]);
  assertEquals(reader.readSome(into), 0);
});

Deno.test("RingWriter.write() waits for the reader and delivers all bytes", async () => {
  const { writer, reader } = pair(16);
  const alive = setInterval(() => {}, 1000);
  const sent = Uint8Array.from({ length: 1000 }, (_, i) => i);
  const writing = writer.write(sent).then(() => writer.close());
  const received: number[] = [];
  const into = new Uint8Array(7);
  while (await reader.wait()) received.push(...into.subarray(0, reader.readSome(into)));
  await writing;
  clearInterval(alive);
  assertEquals(received, [...sent]);
});

Deno.test("RingReader.wait() resolves when the ring is closed", async () => {
  const { writer, reader } = pair(16);
  const waiting = reader.wait();
  writer.close();
  assertEquals(await waiting, false);
});

Deno.test("RingReader.waitSync() returns whether bytes are available, the ring is closed or the timeout expired", () => {
  const { writer, reader } = pair(16);
  assertEquals(reader.waitSync(1), false);
  writer.writeSome(Uint8Array.of(1));
  assertEquals(reader.waitSync(Infinity), true);
  reader.readSome(new Uint8Array(1));
  writer.close();
  assertEquals(reader.waitSync(Infinity), true);
  assertEquals(reader.closed, true);
});

Deno.test("RingReader.discard() wakes a waiting writer", async () => {
  const { writer, reader } = pair(4);
  const writing = writer.write(Uint8Array.of(1, 2, 3, 4, 5, 6));
  reader.discard();
  await writing;
  assertEquals(reader.fill, 2);
});

Deno.test("RingWriter.commit() holds back bytes past an aligned position until more follow", async () => {
  const { writer, reader } = pair(16);
  const into = new Uint8Array(16);
  (await writer.reserve()).set([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  assertEquals(writer.commit(11, true), 3);
  assertEquals(reader.readSome(into), 8);
  const space = await writer.reserve(3);
  assertEquals(space.length, 5);
  space.set([12, 13]);
  assertEquals(writer.commit(3 + 2, true), 5);
  assertEquals(reader.readSome(into), 0);
  assertEquals(writer.commit(5), 0);
  assertEquals(reader.readSome(into), 5);
  assertEquals([...into.subarray(0, 5)], [9, 10, 11, 12, 13]);
});
