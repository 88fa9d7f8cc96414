import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { encodeIpcFrame, encodeIpcJson, type Frame, readFrames } from "./frames.ts";

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.slice(at, at + size));
  }
}

const FRAMES: Frame[] = [
  { kind: 1, payload: new TextEncoder().encode('{"a":1}') },
  { kind: 5, payload: new Uint8Array() },
  { kind: 4, payload: Uint8Array.from({ length: 300 }, (_, i) => i) },
  { kind: 5, payload: new Uint8Array() },
];

const STREAM = new Uint8Array(
  await new Blob([
    encodeIpcJson(1, { a: 1 }),
    ...FRAMES.slice(1).map(({ kind, payload }) => encodeIpcFrame(kind, payload)),
  ] as Uint8Array<ArrayBuffer>[]).arrayBuffer(),
);

Deno.test("readFrames() reads frames however the stream is cut", async () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const frames = await Array.fromAsync(readFrames(cut(STREAM, size), { maxBytes: () => 300 }));
    assertEquals(frames, FRAMES);
  }
});

Deno.test("readFrames() ends without error where the stream ends within a frame", async () => {
  const frames = await Array.fromAsync(
    readFrames(cut(STREAM.subarray(0, 20), 3), { maxBytes: () => 300 }),
  );
  assertEquals(frames, FRAMES.slice(0, 2));
});

Deno.test("readFrames() refuses a frame over its cap before reading it", async () => {
  await assertRejects(
    () => Array.fromAsync(readFrames(cut(STREAM, 50), { maxBytes: () => 299 })),
    PlasmError,
    "kind 4 of 300 bytes, allowed are 299",
  );
});

Deno.test("readFrames() refuses an unknown kind", async () => {
  await assertRejects(
    () =>
      Array.fromAsync(
        readFrames(cut(Uint8Array.of(99, 0, 0, 0, 0), 5), { maxBytes: () => undefined }),
      ),
    PlasmError,
    "kind 99 of 0 bytes, allowed are none",
  );
});
