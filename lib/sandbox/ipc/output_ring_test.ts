import { assertEquals } from "@std/assert";
import { FrameKind } from "./protocol.ts";
import { FRAME_OFFSET, OutputRingReader, OutputRingWriter } from "./output_ring.ts";
import { createRing, RingReader, RingWriter } from "./ring.ts";
import { random } from "../../../tests/fixtures/random_source.ts";

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
