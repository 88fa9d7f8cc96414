import { assert, assertEquals } from "@std/assert";
import {
  FIRST_BYTES,
  FRAME_HEADER_BYTES,
  FrameStart,
  parseFrameHeader,
  RoomyBytes,
  SOCKET_BYTES,
} from "./framing.ts";

Deno.test("FrameStart.cut() joins a header and its payload", () => {
  const [first, rest] = new FrameStart().cut(Uint8Array.of(7, 8, 9), { kind: 4 });
  assertEquals([...first], [4, 3, 0, 0, 0, 7, 8, 9]);
  assertEquals(rest.length, 0);
});

Deno.test("FrameStart.cut() copies what a socket takes at once, and leaves the rest where it is", () => {
  const payload = Uint8Array.from({ length: SOCKET_BYTES + 100 }, (_, n) => n * 7);
  const [first, rest] = new FrameStart().cut(payload, { kind: 1 });
  assert(first.length <= SOCKET_BYTES);
  assertEquals(first.length, FRAME_HEADER_BYTES + FIRST_BYTES);
  assertEquals(parseFrameHeader(first), { kind: 1, length: payload.length });
  assertEquals(first.subarray(FRAME_HEADER_BYTES), payload.subarray(0, FIRST_BYTES));
  assertEquals(rest, payload.subarray(FIRST_BYTES));
  assertEquals(rest.buffer, payload.buffer);
});

Deno.test("FrameStart.cut() writes a header into the room before the payload", () => {
  const memory = Uint8Array.from({ length: 16 }, (_, n) => 100 + n);
  const [first] = new FrameStart().cut(new RoomyBytes(memory.buffer, 6, 2), {
    kind: 9,
    length: 300,
  });
  assertEquals(first.buffer, memory.buffer);
  assertEquals([...first], [9, 44, 1, 0, 0, 106, 107]);
  assertEquals([...memory.subarray(0, 8)], [100, 9, 44, 1, 0, 0, 106, 107]);
  assertEquals(memory[8], 108);
});

Deno.test("RoomyBytes gives views that have no room", () => {
  const bytes = new RoomyBytes(new ArrayBuffer(16), 8);
  assertEquals(bytes.subarray(1) instanceof RoomyBytes, false);
  assertEquals(bytes.slice() instanceof RoomyBytes, false);
});
