import { assert, assertEquals } from "@std/assert";
import {
  FIRST_BYTES,
  FRAME_HEADER_BYTES,
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
