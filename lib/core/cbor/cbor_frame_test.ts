import { assert, assertEquals, assertThrows } from "@std/assert";
import { encode, rfc8949EncodeOptions } from "cborg";
import fc from "fast-check";
import { PlasmError } from "../errors/mod.ts";
import { decodeMessage, encodeMessage } from "./cbor_frame.ts";

const SEED = 20260102;

Deno.test("decodeMessage() returns what encodeMessage() encoded", () => {
  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { depthSize: "small" },
      fc.string(),
      fc.maxSafeInteger().filter((n) => !Object.is(n, -0)),
      fc.boolean(),
      fc.constant(null),
      fc.array(tie("any")),
      fc.dictionary(fc.string().filter((key) => key !== "__proto__"), tie("any")),
    ),
  })).any;
  fc.assert(
    fc.property(value, (message) => {
      const bytes = encodeMessage(message);
      assertEquals(encodeMessage(decodeMessage(bytes)).toHex(), bytes.toHex());
    }),
    { seed: SEED },
  );
});

Deno.test("encodeMessage() orders keys by their encodings, for any length and script", () => {
  const key = fc.oneof(
    fc.string(),
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.string({ minLength: 20, maxLength: 300 }),
  ).filter((key) => key !== "__proto__");
  fc.assert(
    fc.property(fc.dictionary(key, fc.nat()), (message) => {
      const expected = encode(message, rfc8949EncodeOptions);
      assertEquals(encodeMessage(message).toHex(), expected.toHex());
    }),
    { seed: SEED, numRuns: 500 },
  );
});

Deno.test("decodeMessage() returns a value or throws a PlasmError for any bytes", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      try {
        decodeMessage(bytes);
      } catch (error) {
        assert(error instanceof PlasmError && error.code === "protocol", String(error));
      }
    }),
    { seed: SEED, numRuns: 2000 },
  );
});

Deno.test("decodeMessage() returns a value or throws a PlasmError when a byte is changed", () => {
  const bytes = encodeMessage({ type: "get", list: [1, 2, { a: "b" }], n: 70000 });
  for (let place = 0; place < bytes.length; place++) {
    for (let bit = 0; bit < 8; bit++) {
      const changed = bytes.slice();
      changed[place]! ^= 1 << bit;
      try {
        decodeMessage(changed);
      } catch (error) {
        assert(error instanceof PlasmError, String(error));
      }
    }
  }
});

Deno.test("decodeMessage() throws when the CBOR is not canonical", () => {
  for (
    const hex of [
      "1800", // 0 in two bytes
      "a2616201616102", // {b: 1, a: 2}: keys out of order
      "a2616101616102", // the key a twice
      "9f01ff", // a list without a length
      "fb3ff0000000000000", // 1.0 as a float
      "f7", // undefined
      "f97e00", // NaN
      "0000", // two values
      "c000", // a tag
      "", // nothing
    ]
  ) {
    assertThrows(() => decodeMessage(Uint8Array.fromHex(hex)), PlasmError, "Cannot read message");
  }
});

Deno.test("decodeMessage() throws when the nesting is too deep", () => {
  const deep = new Uint8Array(32 * 1024).fill(0x81);
  assertThrows(() => decodeMessage(deep), PlasmError, "Cannot read message");
});
