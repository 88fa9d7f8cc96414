import { assertEquals, assertThrows } from "@std/assert";
import { SeededRandom } from "./random.ts";

/** RFC 8439, appendix A.1: keystreams with a nonce of zeros by key, at counters 0 and 1. */
const KEYSTREAMS = [
  {
    key: "00".repeat(32),
    counter: 0,
    block: "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7" +
      "da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586",
  },
  {
    key: "00".repeat(32),
    counter: 1,
    block: "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed" +
      "29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f",
  },
  {
    key: "00".repeat(31) + "01",
    counter: 1,
    block: "3aeb5224ecf849929b9d828db1ced4dd832025e8018b8160b82284f3c949aa5a" +
      "8eca00bbb4a73bdad192b5c42f73f2fd4e273644c8b36125a64addeb006c13a0",
  },
];

function stream(key: string, sizes: readonly number[]): string {
  const random = new SeededRandom(Uint8Array.fromHex(key));
  return sizes.map((size) => {
    const bytes = new Uint8Array(size);
    random.fill(bytes);
    return bytes.toHex();
  }).join("");
}

Deno.test("SeededRandom.fill() returns the keystream of RFC 8439", () => {
  for (const { key, counter, block } of KEYSTREAMS) {
    assertEquals(stream(key, [128]).slice(128 * counter, 128 * (counter + 1)), block);
  }
});

Deno.test("SeededRandom.fill() continues where the last call ended", () => {
  const key = "ab".repeat(32);
  assertEquals(stream(key, [1, 0, 62, 1, 64, 2, 200]), stream(key, [330]));
});

Deno.test("SeededRandom rejects a seed of another length", () => {
  assertThrows(() => new SeededRandom(new Uint8Array(31)), RangeError, "31 bytes, expected 32");
});
