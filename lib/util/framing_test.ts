import { assert, assertEquals, assertInstanceOf } from "@std/assert";
import { readAllFrames } from "../../tests/fixtures/frames.ts";
import { concat } from "./bytes.ts";
import {
  buildFrame,
  FIRST_BYTES,
  FRAME_HEADER_BYTES,
  FrameReader,
  FrameWriter,
  HeadroomBuffer,
  parseFrameHeader,
  SOCKET_BYTES,
} from "./framing.ts";

Deno.test("FrameWriter.cut() joins header and payload when the payload is small", () => {
  const [first, rest] = new FrameWriter().cut(Uint8Array.of(7, 8, 9), { kind: 4 });
  assertEquals([...first], [4, 3, 0, 0, 0, 7, 8, 9]);
  assertEquals(rest.length, 0);
});

Deno.test("FrameWriter.cut() copies only the first part when the payload exceeds a socket's capacity", () => {
  const payload = Uint8Array.from({ length: SOCKET_BYTES + 100 }, (_, n) => n * 7);
  const [first, rest] = new FrameWriter().cut(payload, { kind: 1 });
  assert(first.length <= SOCKET_BYTES);
  assertEquals(first.length, FRAME_HEADER_BYTES + FIRST_BYTES);
  assertEquals(parseFrameHeader(first), { kind: 1, length: payload.length });
  assertEquals(first.subarray(FRAME_HEADER_BYTES), payload.subarray(0, FIRST_BYTES));
  assertEquals(rest, payload.subarray(FIRST_BYTES));
  assertEquals(rest.buffer, payload.buffer);
});

Deno.test("FrameWriter.cut() writes the header into the headroom when the payload has one", () => {
  const memory = Uint8Array.from({ length: 16 }, (_, n) => 100 + n);
  const [first] = new FrameWriter().cut(new HeadroomBuffer(memory.buffer, 6, 2), {
    kind: 9,
    length: 300,
  });
  assertEquals(first.buffer, memory.buffer);
  assertEquals([...first], [9, 44, 1, 0, 0, 106, 107]);
  assertEquals([...memory.subarray(0, 8)], [100, 9, 44, 1, 0, 0, 106, 107]);
  assertEquals(memory[8], 108);
});

Deno.test("HeadroomBuffer.subarray() returns a plain array when a view is taken", () => {
  const bytes = new HeadroomBuffer(new ArrayBuffer(16), 8);
  assertEquals(bytes.subarray(1) instanceof HeadroomBuffer, false);
  assertEquals(bytes.slice() instanceof HeadroomBuffer, false);
});

const FRAMES = [
  { kind: 1, payload: new TextEncoder().encode('{"a":1}') },
  { kind: 5, payload: new Uint8Array() },
  { kind: 4, payload: Uint8Array.from({ length: 300 }, (_, i) => i) },
  { kind: 255, payload: new Uint8Array() },
];

const STREAM = concat(FRAMES.map(({ kind, payload }) => buildFrame(kind, payload)));

/** Cuts bytes into chunks in one buffer that is overwritten, as a source may do. */
async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  const buffer = new Uint8Array(size);
  for (let at = 0; at < bytes.length; at += size) {
    const chunk = bytes.subarray(at, at + size);
    buffer.set(chunk);
    yield await Promise.resolve(buffer.subarray(0, chunk.length));
  }
}

function readerOf(source: AsyncGenerator<Uint8Array>): FrameReader {
  return new FrameReader({ read: async () => (await source.next()).value });
}

Deno.test("FrameReader.payload() returns copies of the payloads for chunks of any size", async () => {
  for (let size = 1; size <= STREAM.length; size++) {
    assertEquals(await readAllFrames(chunks(STREAM, size)), FRAMES);
  }
});

Deno.test("FrameReader.next() and payload() return undefined when the stream ends within a frame", async () => {
  for (const length of [0, 3, 5, 11]) {
    const reader = readerOf(chunks(STREAM.subarray(0, length), 4));
    const header = await reader.next();
    assertEquals(header, length < 5 ? undefined : { kind: 1, length: 7 });
    if (header !== undefined) assertEquals(await reader.payload(), undefined);
  }
});

Deno.test("FrameReader.part() returns views of the chunks for chunks of any size", async () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const reader = readerOf(chunks(STREAM, size));
    for (const { kind, payload } of FRAMES) {
      assertEquals(await reader.next(), { kind, length: payload.length });
      const found: number[] = [];
      while (reader.left > 0) found.push(...(await reader.part())!);
      assertEquals(found, [...payload]);
    }
    assertEquals(await reader.next(), undefined);
  }
});

Deno.test("FrameReader.part() returns headroom when the chunk has it", async () => {
  const frame = buildFrame(7, Uint8Array.of(1, 2, 3));
  const chunk = new HeadroomBuffer(new ArrayBuffer(8 + frame.length), 8);
  chunk.set(frame);
  const reader = new FrameReader({ read: () => Promise.resolve(chunk) });
  await reader.next();
  const part = await reader.part();
  assertInstanceOf(part, HeadroomBuffer);
  assertEquals(part.buffer, chunk.buffer);
  assertEquals(part.byteOffset, 8 + FRAME_HEADER_BYTES);
  assertEquals([...part], [1, 2, 3]);
});

Deno.test("FrameReader.readInto() reads into the destination when nothing is buffered and the source allows it", async () => {
  const rest = [3, 4, 5, 6, 7, 8];
  const sizes: number[] = [];
  const reader = new FrameReader({
    read: (needed) => {
      sizes.push(needed);
      return Promise.resolve(Uint8Array.of(9, 6, 0, 0, 0, 1, 2));
    },
    readInto: (into) => {
      sizes.push(into.length);
      into[0] = rest.shift()!;
      return Promise.resolve(1);
    },
  });
  assertEquals(await reader.next(), { kind: 9, length: 6 });
  assertEquals(reader.buffered, 2);
  const into = new Uint8Array(100);
  assertEquals(await reader.readInto(into), 2);
  assertEquals(await reader.readInto(into.subarray(2)), 1);
  assertEquals(await reader.payload(), Uint8Array.of(4, 5, 6));
  assertEquals([...into.subarray(0, 3)], [1, 2, 3]);
  assertEquals(sizes, [5, 4, 3, 2, 1]);
});
