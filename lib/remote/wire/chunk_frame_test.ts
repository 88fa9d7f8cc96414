import { assertEquals, assertThrows } from "@std/assert";
import fc from "fast-check";
import { PlasmError } from "../../core/errors/errors.ts";
import { decodeMessage, encodeMessage } from "../../core/cbor/cbor_frame.ts";
import { decodeChunk } from "./chunk_frame.ts";
import { checkMessage } from "./messages.ts";

const SEED = 20261122;

function chunkOf(length: number): Record<string, unknown> {
  return {
    type: "chunk",
    hash: `sha256:${"0a".repeat(32)}`,
    offset: 70_000,
    data: crypto.getRandomValues(new Uint8Array(length)),
    checksum: 4_000_000_000,
  };
}

/** What either reader makes of the bytes: a value as its own encoding, or a refusal. */
function outcome(read: (bytes: Uint8Array) => unknown, bytes: Uint8Array): string {
  try {
    return encodeMessage(read(bytes)).toHex();
  } catch (error) {
    if (error instanceof PlasmError && error.code === "protocol") return "refused";
    throw error;
  }
}

Deno.test("decodeChunk() reads what decodeMessage() reads, without a copy of the data", () => {
  for (const length of [1, 23, 24, 255, 256, 257, 60_000]) {
    const chunk = chunkOf(length);
    const bytes = encodeMessage(chunk);
    const read = decodeChunk(bytes) as { data: Uint8Array };
    assertEquals(outcome(() => read, bytes), outcome(decodeMessage, bytes));
    assertEquals(read.data.buffer === bytes.buffer, length >= 256);
  }
  const large = encodeMessage(chunkOf(65_536));
  assertEquals((decodeChunk(large) as { data: Uint8Array }).data.buffer, large.buffer);
});

Deno.test("decodeChunk() refuses and takes the same changed bytes as decodeMessage()", () => {
  const valid = encodeMessage(chunkOf(300));
  fc.assert(
    fc.property(
      // What is around the data, and a little of it.
      fc.oneof(fc.nat(40), fc.integer({ min: 300, max: valid.length - 1 })),
      fc.integer({ min: 1, max: 255 }),
      fc.nat(3),
      (place, change, cut) => {
        const bytes = valid.slice(0, valid.length - cut);
        bytes[Math.min(place, bytes.length - 1)]! ^= change;
        // A field twice, or in a wrong place, is left to the check of the fields.
        const [ours, theirs] = [decodeChunk, decodeMessage].map((read) =>
          outcome((bytes) => checkMessage(read(bytes)), bytes)
        );
        assertEquals(ours, theirs);
      },
    ),
    { seed: SEED, numRuns: 5000 },
  );
});

Deno.test("decodeChunk() refuses a length that is not in its shortest form", () => {
  const long = Uint8Array.from([0xa5, 0x64, ...new TextEncoder().encode("data"), 0x59, 0, 1, 7]);
  const rest = encodeMessage({ hash: "", type: "chunk", offset: 0, checksum: 0 }).subarray(1);
  assertThrows(() => decodeChunk(Uint8Array.from([...long, ...rest])), PlasmError);
});
