import { assertEquals } from "@std/assert";
import { FrameKind } from "./frames.ts";
import { OutputReader, OutputWriter } from "./output_ring.ts";
import { createRing } from "./ring.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

function frames(reader: OutputReader, size: number): [number, string][] {
  const into = new Uint8Array(size);
  const found: [number, string][] = [];
  for (let length; (length = reader.readFrame(into)) > 0;) {
    found.push([into[0]!, new TextDecoder().decode(into.subarray(5, length))]);
  }
  return found;
}

Deno.test("OutputReader.readFrame() joins writes of one stream and keeps the streams' order", () => {
  const ring = createRing(256);
  const writer = new OutputWriter(ring, 1000);
  const reader = new OutputReader(ring);
  writer.write("stdout", bytes("a"));
  writer.write("stdout", bytes("b"));
  writer.write("stderr", bytes("c"));
  writer.write("stdout", bytes("d"));
  assertEquals(frames(reader, 100), [
    [FrameKind.Stdout, "ab"],
    [FrameKind.Stderr, "c"],
    [FrameKind.Stdout, "d"],
  ]);
});

Deno.test("OutputReader.readFrame() cuts a write that is larger than the frame", () => {
  const ring = createRing(256);
  new OutputWriter(ring, 1000).write("stderr", bytes("abcdefg"));
  assertEquals(frames(new OutputReader(ring), 5 + 3), [
    [FrameKind.Stderr, "abc"],
    [FrameKind.Stderr, "def"],
    [FrameKind.Stderr, "g"],
  ]);
});

Deno.test("OutputWriter.write() takes what fits the limit and says that it is reached", () => {
  const ring = createRing(256);
  const writer = new OutputWriter(ring, 5);
  let reached = 0;
  writer.onLimit = () => reached++;
  writer.write("stdout", bytes("abc"));
  writer.write("stderr", bytes("de"));
  assertEquals(reached, 0);
  writer.write("stdout", bytes("f"));
  assertEquals(reached, 1);
  assertEquals(frames(new OutputReader(ring), 100), [
    [FrameKind.Stdout, "abc"],
    [FrameKind.Stderr, "de"],
  ]);
});
