import { assertEquals, assertRejects } from "@std/assert";
import { PlasmError } from "../../core/errors/errors.ts";
import { expectAgreement } from "./network_binding.ts";
import type { ByteStream } from "../wire/byte_stream.ts";

const AGREEMENT = new Uint8Array([1, 2, 3]);

function from(pieces: number[][]): { duplex: ByteStream; aborted: Error[] } {
  const aborted: Error[] = [];
  const left = pieces.map((piece) => new Uint8Array(piece));
  const duplex: ByteStream = {
    read: () => Promise.resolve(left.shift() ?? null),
    write: () => Promise.resolve(),
    close: () => Promise.resolve(),
    abort: (reason) => void aborted.push(reason),
    endRead: () => {},
  };
  return { duplex, aborted };
}

async function all(duplex: ByteStream): Promise<number[]> {
  const found: number[] = [];
  for (let bytes; (bytes = await duplex.read()) !== null;) found.push(...bytes);
  return found;
}

Deno.test("expectAgreement() takes the agreement off, however it is cut", async () => {
  for (
    const pieces of [[[1, 2, 3, 4, 5]], [[1], [2], [3], [4, 5]], [[1, 2], [3, 4], [5]], [
      [1, 2, 3],
      [4, 5],
    ]]
  ) {
    assertEquals(await all(expectAgreement(from(pieces).duplex, AGREEMENT)), [4, 5]);
  }
});

Deno.test("expectAgreement() refuses a side that says anything else, and drops it", async () => {
  for (const pieces of [[[1, 2, 4]], [[0]], [[1], [9, 3]]]) {
    const { duplex, aborted } = from(pieces);
    const error = await assertRejects(() => all(expectAgreement(duplex, AGREEMENT)), PlasmError);
    assertEquals([error.code, aborted.length], ["no-peer", 1]);
  }
});

Deno.test("expectAgreement() gives nothing of a side that ends before it has agreed", async () => {
  assertEquals(await all(expectAgreement(from([[1, 2]]).duplex, AGREEMENT)), []);
});
