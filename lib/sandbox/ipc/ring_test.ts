import { assertEquals, assertThrows } from "@std/assert";
import {
  createRing,
  FRAME_OFFSET,
  OutputRingReader,
  OutputRingWriter,
  RingReader,
  RingWriter,
} from "./ring.ts";
import { FrameKind } from "./protocol.ts";
import { random } from "../../../tests/fixtures/random_source.ts";

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

const bytes = (text: string) => new TextEncoder().encode(text);

function frames(reader: OutputRingReader, size: number): { kind: number; text: string }[] {
  const into = new Uint8Array(size);
  const found: { kind: number; text: string }[] = [];
  for (let end; (end = reader.readFrame(into)) > 0;) {
    found.push({
      kind: into[FRAME_OFFSET]!,
      text: new TextDecoder().decode(into.subarray(8, end)),
    });
  }
  return found;
}

Deno.test("OutputRingReader.readFrame() coalesces writes of one stream and preserves the order of both", () => {
  const ring = createRing(256);
  const writer = new OutputRingWriter(ring, 1000);
  const reader = new OutputRingReader(ring);
  writer.write("stdout", bytes("a"));
  writer.write("stdout", bytes("b"));
  writer.write("stderr", bytes("c"));
  writer.write("stdout", bytes("d"));
  assertEquals(frames(reader, 100), [
    { kind: FrameKind.Stdout, text: "ab" },
    { kind: FrameKind.Stderr, text: "c" },
    { kind: FrameKind.Stdout, text: "d" },
  ]);
});

Deno.test("OutputRingReader.readFrame() splits a write that is larger than the frame", () => {
  const ring = createRing(256);
  new OutputRingWriter(ring, 1000).write("stderr", bytes("abcdefg"));
  assertEquals(frames(new OutputRingReader(ring), 8 + 3), [
    { kind: FrameKind.Stderr, text: "abc" },
    { kind: FrameKind.Stderr, text: "def" },
    { kind: FrameKind.Stderr, text: "g" },
  ]);
});

Deno.test("OutputRingWriter.write() truncates at the limit and calls onLimit", () => {
  const ring = createRing(256);
  const writer = new OutputRingWriter(ring, 5);
  let reached = 0;
  writer.onLimit = () => reached++;
  writer.write("stdout", bytes("abc"));
  writer.write("stderr", bytes("de"));
  assertEquals(reached, 0);
  writer.write("stdout", bytes("f"));
  assertEquals(reached, 1);
  assertEquals(frames(new OutputRingReader(ring), 100), [
    { kind: FrameKind.Stdout, text: "abc" },
    { kind: FrameKind.Stderr, text: "de" },
  ]);
});

Deno.test("OutputRingReader.readFrame() returns all bytes in order for writes of any size", () => {
  const below = random(5);
  const ring = createRing(256);
  const writer = new OutputRingWriter(ring, Infinity);
  const reader = new OutputRingReader(ring);
  const into = new Uint8Array(8 + 90);
  let next = 0;
  let expected = 0;
  for (let round = 0; round < 5000; round++) {
    // A write that fits the empty ring never blocks.
    let room = 256;
    for (let size = below(120); room >= size + 15; size = below(120)) {
      writer.write("stdout", Uint8Array.from({ length: size }, () => next++));
      room -= size + 15;
    }
    for (let length; (length = reader.readFrame(into)) > 0;) {
      for (const byte of into.subarray(8, length)) assertEquals(byte, expected++ & 0xff);
    }
    assertEquals(expected, next);
  }
});

Deno.test("OutputRingReader.readFrame() continues a record that was larger than the ring", () => {
  const ring = createRing(32);
  const writer = new RingWriter(ring);
  const reader = new OutputRingReader(ring);
  const into = new Uint8Array(100);
  assertEquals(writer.writeRecord(36, new Uint8Array(36)), false);
  assertEquals(writer.writeRecord(36, new Uint8Array(0)), true);
  assertEquals(reader.readFrame(into), 0);
  assertEquals(writer.writeSome(new Uint8Array(36).fill(7)), 32);
  assertEquals(reader.readFrame(into), 8 + 32);
  assertEquals(writer.writeSome(new Uint8Array(4).fill(8)), 4);
  assertEquals(reader.readFrame(into), 8 + 4);
  assertEquals(into[8], 8);
  // Padding is not output.
  assertEquals(writer.writeSome(new Uint8Array(4).fill(9)), 4);
  assertEquals(reader.readFrame(into), 0);
  assertEquals(new RingReader(ring).fill, 0);
});
