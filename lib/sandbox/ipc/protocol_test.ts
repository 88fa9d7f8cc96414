import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { encodeIpcFrame, encodeIpcJson, type IpcFrame, readIpcFrames } from "./protocol.ts";

async function* chunks(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) {
    yield await Promise.resolve(bytes.slice(at, at + size));
  }
}

const FRAMES: IpcFrame[] = [
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

Deno.test("readIpcFrames() parses frames for chunks of any size", async () => {
  for (let size = 1; size <= STREAM.length; size++) {
    const frames = await Array.fromAsync(
      readIpcFrames(chunks(STREAM, size), { maxBytes: () => 300 }),
    );
    assertEquals(frames, FRAMES);
  }
});

Deno.test("readIpcFrames() ends without an error when the stream ends within a frame", async () => {
  const frames = await Array.fromAsync(
    readIpcFrames(chunks(STREAM.subarray(0, 20), 3), { maxBytes: () => 300 }),
  );
  assertEquals(frames, FRAMES.slice(0, 2));
});

Deno.test("readIpcFrames() rejects a frame above its maximum before reading it", async () => {
  await assertRejects(
    () => Array.fromAsync(readIpcFrames(chunks(STREAM, 50), { maxBytes: () => 299 })),
    PlasmError,
    "kind 4 of 300 bytes, allowed are 299",
  );
});

Deno.test("readIpcFrames() rejects an unknown kind", async () => {
  await assertRejects(
    () =>
      Array.fromAsync(
        readIpcFrames(chunks(Uint8Array.of(99, 0, 0, 0, 0), 5), { maxBytes: () => undefined }),
      ),
    PlasmError,
    "kind 99 of 0 bytes, allowed are none",
  );
});
